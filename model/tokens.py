"""What travels about tokens."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from model.fields import Name
from utils.token_text import hide

Scope = Literal["ingest", "read", "admin"]
Binding = Literal["host", "pattern", "first"]
MAX_DAYS, MAX_OVERLAP_H = 3_650, 720


class TokenIn(BaseModel):
    """A token to be made."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[Name, Field(examples=["web-1"])]
    scope: Scope
    binding: Annotated[Binding | None, Field(description="of ingest: whom host_name means, by default `host`")] = None
    host_name: Annotated[Name | None, Field(description="a host, or a pattern of *, ? and [a-z]")] = None
    expires_in_days: Annotated[int | None, Field(ge=1, le=MAX_DAYS, strict=True)] = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        """Only a token for reports belongs to hosts; one for the first host that uses it does not know it yet.

        Names stand in lists and logs, where no secret does.
        """
        binding = self.binding or ("host" if self.scope == "ingest" else None)
        named = self.host_name is not None
        if (binding is None) != (self.scope != "ingest") or named != (binding in ("host", "pattern")):
            reason = "ingest takes a host_name, or the binding first; no other scope takes either"
            raise PydanticCustomError("binding", reason)
        if any(hide(name) != name for name in (self.name, self.host_name or "")):
            raise PydanticCustomError("secret", "a token is no name")
        return self


class RotateIn(BaseModel):
    """How long the secret that is replaced is good for."""

    model_config = ConfigDict(extra="forbid")

    overlap_hours: Annotated[float, Field(ge=0, le=MAX_OVERLAP_H, allow_inf_nan=False)] = 24.0


class TokenOut(BaseModel):
    """A token without its secret; moments are UTC with `Z`."""

    id: str
    name: str
    scope: Scope
    binding: Binding | None
    host_name: str | None
    status: Literal["active", "expired", "revoked"]
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used: str | None = Field(description="to the minute")
    previous_until: str | None = Field(description="until when the secret before this one is good")
    previous_used: str | None = Field(description="when that one was used last, to the minute")


class TokenMade(TokenOut):
    """A token with its secret, which is shown this once."""

    token: str
