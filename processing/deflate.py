"""zlib and gzip, or where it is installed ISA-L in their place, which is about twice as fast."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

deflate: Any = zlib
GzipFile: Any = gzip.GzipFile
try:
    from isal import igzip, isal_zlib
except ImportError:
    pass
else:
    deflate, GzipFile = isal_zlib, igzip.IGzipFile
