"""The tags that operators give to hosts."""

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from database import tags
from model.envelope import Code, Envelope, Failure, ok
from model.schemas import TagsIn, TagsOut
from routers.answers import answer
from routers.audits import audited
from routers.bodies import MAX_TAGS_BYTES, read
from routers.docs import body, refusals
from routers.errors import wrong_body
from routers.gate import allow
from routers.hosts import HostId
from routers.writes import written

router = APIRouter(prefix="/api/hosts", tags=["hosts"])


@router.put(
    "/{host_id}/tags",
    operation_id="put_host_tags",
    response_model=Envelope[TagsOut],
    responses=refusals(404, 408, 413, 415, 422, 503),
    openapi_extra=body("TagsIn"),
)
async def put_host_tags(request: Request, host_id: HostId) -> Response:
    """Gives a host these tags and no others: the words by which lists may be filtered.

    For admins; while no token is asked for, on the server's own machine alone, not from a web page or through a proxy.
    `python manage.py host tag` always works.
    """
    allow(request)
    with audited(request, "tags_put", host_id=host_id) as told:
        asked = await _asked(request)
        told["tags"] = ",".join(asked)
        given = await written(request, lambda connection: tags.put(connection, host_id, asked))
        if given is None:
            raise Failure(Code.NOT_FOUND, "no such host")
    return answer(ok({"tags": given}, f"tag_count: {len(given)}"))


async def _asked(request: Request) -> list[str]:
    try:
        return TagsIn.model_validate_json(await read(request, MAX_TAGS_BYTES)).tags
    except ValidationError as error:
        raise wrong_body(error) from None
