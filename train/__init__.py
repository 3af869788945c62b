"""The only training loop, the tasks, and the judgement of what was trained.

`spiketype.api.train` is offered as ``spiketype.train``, which this package is called as well. So that both are meant,
whichever is imported first, the package can be called.
"""

import sys
from types import ModuleType

from spiketype.api import train


class _Called(ModuleType):
    __call__ = staticmethod(train)


sys.modules[__name__].__class__ = _Called
