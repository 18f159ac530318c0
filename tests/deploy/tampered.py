"""A role's own process as a dishonest or broken one: by the ``tamper.py`` in its folder."""

import runpy
import sys
from pathlib import Path

from pride_jax.deploy.resident import remembering, serve


def main(folder):
    honest = remembering(folder)

    def respond(request):
        script = folder / "tamper.py"
        if not script.exists():
            return honest(request)
        changed = runpy.run_path(str(script))["respond"]
        return changed(lambda _, asked: honest(asked), folder, request)

    serve(folder, respond)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
