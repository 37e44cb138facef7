"""Text to tokens, by a base model's own tokenizer, or byte by byte where it has none.

It needs the extra ``serai[lora]``.
"""

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from serai.errors import Malformed
from serai.recipes.base_model import TOKENIZER, BaseModel


class Tokeniser:
    """Gives the tokens of texts; those of the last few texts are kept.

    Args:
        base: the base model.

    Raises:
        Malformed: its tokenizer is none.

    """

    def __init__(self, base: BaseModel) -> None:
        self._tokenizer = None
        self._kept: list[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]] = []
        if base.tokenizer is not None:
            try:
                self._tokenizer = Tokenizer.from_file(str(base.tokenizer))
            except Exception as error:  # the library raises no narrower one
                raise Malformed("base-model", f"expected a tokenizer in {TOKENIZER}: {str(error)[:200]}") from error
            self._tokenizer.no_truncation()
            self._tokenizer.no_padding()

    def encode(self, text: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
        """The tokens of a text in UTF-8, without marks of beginning or end; bytes that are no UTF-8 are left out."""
        for known, tokens in self._kept:
            if known is text:
                return tokens
        tokens = self._encode(text)
        self._kept = [*self._kept[-1:], (text, tokens)]
        return tokens

    def _encode(self, text: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
        if self._tokenizer is None:
            return text.astype(np.int32)
        encoded = self._tokenizer.encode(text.tobytes().decode("utf-8", "ignore"), add_special_tokens=False)
        return np.array(encoded.ids, np.int32)
