"""`GET /v1/models`: the features that a key may use, and the models behind them."""

import orjson

from gateway import engine
from gateway.http.auth import authenticate
from gateway.http.request import Request


async def models(request: Request) -> None:
    """Lists features first, then the models of their routes as `provider/model`; all of them can be asked for."""
    gate = engine.current()
    catalog = gate.catalog
    key = authenticate(request, gate)
    allowed = [feature for slug, feature in sorted(catalog.features.items()) if key.allows(slug)]
    owners = {feature.slug: "tollhouse" for feature in allowed}
    for feature in allowed:
        for target in feature.route.targets:
            owners.setdefault(f"{target.provider.name}/{target.model}", target.provider.name)
    data = [{"id": id, "object": "model", "created": 0, "owned_by": owner} for id, owner in owners.items()]
    await request.answer(200, orjson.dumps({"object": "list", "data": data}))
