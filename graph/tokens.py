"""How many tokens a text costs a language model, without a tokenizer."""

from __future__ import annotations

BYTES_PER_TOKEN = (
    4  # Python under cl100k has 4.15 (nanochat), 4.14 (litgpt) and 3.87 (nanoGPT): the estimate is 3-4 % high
)


def count_tokens(text: str) -> int:
    """Estimate the tokens of a text from its UTF-8 bytes, rounded up."""
    return tokens_of(len(text.encode("utf-8", "surrogatepass")))


def tokens_of(n_bytes: int) -> int:
    """Estimate the tokens of a number of bytes of source, rounded up."""
    return -(-n_bytes // BYTES_PER_TOKEN)
