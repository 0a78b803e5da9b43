"""Passwords: hashed by Argon2id, and compared without telling whether there is such a user."""

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from database.users import User
from model.people import MAX_PASSWORD, MIN_PASSWORD

# OWASP's Password Storage Cheat Sheet: Argon2id with 19 MiB, two iterations and one degree of parallelism at least.
HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
# Of a password that nobody knows, with the same parameters: whoever names no user waits for as long.
NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$pnbAKvS0GP0zBhm7SKUMAw$KF0Ud6QYh2JZ6S7fBf9AQ8qNTTTccze+RsjXnI6139M"
RULE = f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters"


def acceptable(password: str) -> bool:
    """Whether it may become somebody's password."""
    return MIN_PASSWORD <= len(password) <= MAX_PASSWORD and "\0" not in password


def hashed(password: str) -> str:
    """What is kept of a password."""
    return HASHER.hash(password)


def matches(user: User | None, password: str) -> bool:
    """Whether somebody may sign in with it. It always costs one verification, whoever is named."""
    right = _verified(user.password_hash if user else NOBODY, password)
    return right and user is not None and user.disabled_at is None


def renewed(user: User, password: str) -> str | None:
    """The same password hashed anew, if our parameters have changed since it was hashed."""
    return hashed(password) if HASHER.check_needs_rehash(user.password_hash) else None


def _verified(stored: str, password: str) -> bool:
    try:
        return HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):  # the latter is no kind of the former
        return False
