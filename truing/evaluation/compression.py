"""Redundancy of a set of outputs, by a compressor (Shaib et al., arXiv 2403.00553)."""

import gzip
import math
from collections.abc import Sequence


def compression_ratio(outputs: Sequence[str]) -> float:
    """Raw bytes / bytes of gzip (level 9, header of 10 and trailer of 8 bytes included): HIGHER is LESS diverse.

    Raw bytes are the outputs in UTF-8, sorted (so that their order does not matter) and joined with newlines. NaN where
    all outputs are empty. A lone surrogate, which JSON can hold and UTF-8 cannot, counts its three bytes.

    Pitfalls: the ratio rises with the amount of text, so that only sets of the same number of outputs of similar length
    compare; below some 200 bytes the 18 bytes of gzip itself rule, and it may be under 1. DEFLATE sees a repetition only
    within 32 KiB: of longer outputs, twins look as diverse as strangers.
    """
    if not any(outputs):
        return math.nan
    raw = "\n".join(sorted(outputs)).encode("utf-8", errors="surrogatepass")
    return len(raw) / len(gzip.compress(raw, compresslevel=9, mtime=0))
