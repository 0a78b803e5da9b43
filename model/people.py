"""What travels when people sign in."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from model.fields import Name

Role = Literal["viewer", "admin"]
# NIST SP 800-63B, 5.1.1.2: at least eight characters, long ones allowed, no rules about which.
MIN_PASSWORD, MAX_PASSWORD = 8, 1024


class LoginIn(BaseModel):
    """Who signs in."""

    model_config = ConfigDict(extra="forbid")

    user: Annotated[Name, Field(examples=["ann"])]
    password: Annotated[SecretStr, Field(min_length=1, max_length=MAX_PASSWORD)]


class LoginOut(BaseModel):
    """What the header `Authorization: Bearer ...` takes until it expires."""

    access_token: str
    token_type: Literal["bearer"]
    expires_in: int = Field(description="seconds; before they are over POST /api/login/refresh gives another")
    user: str
    role: Role


class LogoutOut(BaseModel):
    """What came of it."""

    ended: bool = Field(description="whether somebody was signed in")
