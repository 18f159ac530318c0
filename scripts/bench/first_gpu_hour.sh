#!/usr/bin/env bash
# What the first hour on a GPU should measure, in order of value:
#
#     pip install -e '.[cuda]' && scripts/bench/first_gpu_hour.sh results/gpu
#
# Each step takes under ten minutes and leaves a file of its own; a step whose file is there is not
# done again, so that the script may be interrupted and begun anew. PRIDE_BACKEND=cpu does all of it
# on a CPU with small sizes, to try the script.
set -uo pipefail
cd "$(dirname "$0")/../.."
folder=${1:?expected the folder for what is measured, such as results/gpu}
mkdir -p "$folder"
platform=${PRIDE_BACKEND:-gpu}
small=()
[ "$platform" = cpu ] && small=(--repetitions 2 --seconds 2 --examples 20)
sizes() { if [ "$platform" = cpu ]; then echo "$2"; else echo "$1"; fi; }

# What a step prints goes to its file only once the step has ended well; of one that fails, or is
# ended after ten minutes, the rows that came until then are kept beside it.
step() {
    local name=$1
    shift
    if [ -s "$folder/$name.json" ]; then
        echo "$name: done before"
        return
    fi
    echo "$name: $*"
    if timeout 600 "$@" > "$folder/$name.part" 2> "$folder/$name.log"; then
        mv "$folder/$name.part" "$folder/$name.json"
    else
        echo "$name: failed with status $?; see $folder/$name.log"
    fi
}

scale() {
    local name=$1
    shift
    # shellcheck disable=SC2086
    step "$name" python scripts/benchmark.py scale --json --backend "$platform" --devices 1 \
        "${small[@]}" "$@"
}

nothing=(--clients --cohorts)
none=(--precisions)

# 1. Whether the card is seen, and a whole run on it.
step environment python -c 'import json; from pride_jax.runs.environment import environment
print(json.dumps(environment()))'
step iris python scripts/train.py --config configs/iris_two_party.py --overwrite \
    --engine.platform "$platform" --workdir "$folder/iris"
# 2. The form of clients' convolutions, which decides how fast every CNN is; loops in CUDA graphs.
scale forms_of_cnn --models cnn --chunks $(sizes "10 100" 1) "${nothing[@]}" "${none[@]}"
scale chunks_of_2nn --models 2nn --chunks $(sizes "1 10 100 1000" "1 10") "${nothing[@]}" "${none[@]}"
# 3. Precision: float32 is exact by default, which a card multiplies slowest.
scale precisions --chunks --precisions tf32 bfloat16 "${nothing[@]}" \
    --models $(sizes "2nn cnn" 2nn)
# 4. How rounds grow, and beside plain loops.
scale cohorts --models 2nn --cohorts $(sizes "10 100 1000 10000" "2 4") --chunks --clients "${none[@]}"
scale cohorts_of_cnn --models cnn --cohorts $(sizes "10 100 1000" 2) --chunks --clients "${none[@]}"
scale clients --models 2nn --clients $(sizes "1000 1000000" "100 1000") --cohorts --chunks "${none[@]}"
# 5. What protection costs: noise on the device, and encryption compiled into the round.
step privacy python scripts/benchmark.py privacy --json $(sizes "" "--clients 4 --repetitions 2")
step key_apart python scripts/benchmark.py key_apart --json $(sizes "" "--params 9000 --protocols two_servers --masked 1000 --cohorts 4")
step lattice python scripts/benchmark.py lattice --json $(sizes "" "--params 9000")
# 6. Accuracy on a card is that of a CPU.
if [ "$platform" = gpu ]; then
    step mnist python scripts/train.py --config configs/mnist_2nn_iid.py --overwrite \
        --engine.platform gpu --workdir "$folder/mnist"
fi
