"""Why ε survives what clients remember, where it does, and where nobody knows.

Clients of SCAFFOLD, FedDyn or personal layers keep state from one of their rounds to the next. Is
the ε of memoryless clients theirs, too? A client's contribution then depends on the rounds in which
it was called before, which is the very secret that amplification by sampling rests on.

What is assumed. A client's state is a function of its own data, its own randomness, the models that
were released before, and the rounds in which it took part; it changes in those rounds only and
never leaves the client. Cohorts are drawn by the sampler alone, independently of data, states and
earlier rounds. A contribution has an L2 norm of at most C, whatever the state. Neighbours differ in
one client's whole data, so in its state; under zero-out it adds exact zeros in every round and
keeps its place in the draw. What the server keeps is made from released models. Personal accuracies
and all else that is computed from states are outside ε.

Full participation. Whatever clients remember, the target moves each release by at most C, chosen
adaptively. That is what is composed. Nothing changes, for any mechanism here.

Poisson sampling, cohorts that always fit. *The ε of memoryless clients holds.* Let b_t say whether
the target is called in round t, y_t be the release, and P and Q its distribution with the target's
data and without. Fix all randomness of the others; it is the same under P and Q. Their
contributions, states included, are then a function g_t of the releases y_<t. Under Q, y_t is noise
about g_t. Under P, b_t is independent of (y_<t, b_<t), and given both the target adds c_t(y_<t,
b_<t). So, given y_<t alone,

    P(y_t | y_<t) = (1 − q) N(g_t) + q E[ N(g_t + c_t(y_<t, b_<t)) | y_<t ].

The posterior of the target's past stands inside the second term only; the weight q is untouched.
Hockey-stick divergences are jointly convex, so both this against N(g_t) and N(g_t) against this are
bounded by the worst single |c| <= C: by the pair that dominates a memoryless round. Composition of
dominating pairs needs no more than such a bound for each y_<t (Zhu, Dong & Wang 2022, Optimal
Accounting of Differential Privacy via Characteristic Function, theorem 10). Joint convexity removes
the conditioning on the others. Note what was not used: past calls are *not* given to the observer,
which would void amplification. Cyclic sampling under banded noise is the same, a turn's band of
releases in the place of one release: no two turns of a client share noise.

Poisson cohorts that may not fit. If more others are drawn than leave a place (an event of the
others' draws, with probability τ, independent over rounds), calling the target sends another client
away, and that client's state remembers. Fixing the others no longer fixes g_t. Therefore the
observer is given b_t in these rounds, and in these only: its distribution is the same under P and
Q, the others' states are functions again, and the argument above goes through for all other rounds.
Such a round then costs what it costs to be called for all to see. Rényi bounds
(`truncated_divergences`) charge that to everybody. Of memoryless clients a smaller bound holds,
which moves a client that was sent away instead; with ``client_state`` it is that of showing b_t. At
the default capacity the two agree to 1e-5 of ε. Who is told how many were called sees a place taken
in every round: nothing is amplified then.

Fixed size. The target's call *always* takes another's place, in every round. The others' states
under P and Q then have different posteriors, and nothing above holds. No counter-example was found
to the bound for two clients, of which one is called in each of two rounds, and no proof. A plan
refuses it.
"""

from pride_jax.errors import ConfigError
from pride_jax.privacy.plan import Plan


def check_client_state(plan: Plan, keeps_state: bool) -> None:
    """Refuses a method that the plan is not accounted for.

    Args:
      plan: of the federation.
      keeps_state: whether clients keep anything between their rounds.

    Raises:
      ConfigError: they do, and the plan says that they do not.
    """
    if keeps_state and not plan.client_state:
        raise ConfigError(
            "client_state=False with a method whose clients keep state: expected a plan with "
            "client_state=True, which accounts for what clients remember of being called"
        )
