"""`python -P -m folkmoot.platform`: what `moot up --detach` leaves running."""

import asyncio
import sys

from folkmoot.kernel.errors import FolkmootError
from folkmoot.platform.embedded import serve
from folkmoot.runtime import logging
from folkmoot.runtime.settings import load
from folkmoot.runtime.supervise import first_leaf


def main() -> None:
    """Its last words are a sentence: `moot up` shows them to a person."""
    logging.configure("platform")
    try:
        asyncio.run(serve(load(), lambda _: None))
    except FolkmootError as error:
        sys.exit(str(error))
    except BaseExceptionGroup as failures:
        sys.exit(_sentence(first_leaf(failures)))


def _sentence(error: BaseException) -> str:
    return str(error) if isinstance(error, FolkmootError) else f"unforeseen: {type(error).__name__}: {error}"


if __name__ == "__main__":
    main()
