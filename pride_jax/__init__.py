"""Privacy-preserving federated learning in JAX.

The public names stand in ``__init__.pyi``. Each is imported when it is first used: settings can be
refused, and the processes that encrypt can start, without importing JAX.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
