"""What a process needs to let people in: the key, the failures it has seen, and two threads for their passwords."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from config.config import Settings
from database.users import User
from model.envelope import Code, unavailable
from services import passwords
from services.jwt_key import JwtKey
from services.lockout import Lockout

T = TypeVar("T")
# Each verification takes 19 MiB and a core for a while: with two at once reports come first still.
AT_ONCE = 2
WAIT_S = 5.0


class People:
    """Lives as long as the service."""

    def __init__(self, settings: Settings) -> None:
        self.key = JwtKey(settings)
        self.lockout = Lockout()
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="password")

    def stop(self) -> None:
        """Ends the threads."""
        self._threads.shutdown(cancel_futures=True)

    async def matches(self, user: User | None, password: str) -> bool:
        """Whether the password is this user's."""
        return await self._aside(partial(passwords.matches, user, password))

    async def renewed(self, user: User, password: str) -> str | None:
        """The password's hash, if it is to be stored anew."""
        return await self._aside(partial(passwords.renewed, user, password))

    async def _aside(self, job: Callable[[], T]) -> T:
        """Waits in line for a thread; raises OVERLOADED if that takes too long, and leaves the line."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, job)
        try:
            return await asyncio.wait_for(future, WAIT_S)
        except TimeoutError:
            raise unavailable("too many people sign in at once; try again", Code.OVERLOADED) from None
