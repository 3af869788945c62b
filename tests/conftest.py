"""Strict numerics, and every annotation of the package checked where it is called."""

import jax
from jaxtyping import install_import_hook

from tests import typecheck

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
install_import_hook("spiketype", f"{typecheck.__name__}.check")
