"""Third stage: personal data leaves the text before the text leaves the gate. In a thread, as it takes the CPU."""

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from time import perf_counter

from gateway.errors import InvalidRequest, PolicyRefused
from gateway.identify import Identified
from gateway.offload import offload
from gateway.render import Prompt
from gateway.session_maps import SessionMaps, session_of
from gateway.types import Json
from redaction.media import MediaRefused
from redaction.messages import EntitiesRefused, Filled, RedactionFailed, redact_body
from redaction.vault import Vault
from redaction.walk import Uninspectable


@dataclass(slots=True, kw_only=True)
class Redacted:
    """The body as it may be sent, what undoes its pseudonyms, and the entities found as counts by type.

    `filled` is the prompt's.
    """

    body: Mapping[str, Json]
    vault: Vault
    entities: Mapping[str, int]
    filled: Filled


async def redact(prompt: Prompt, call: Identified, executor: Executor, sessions: SessionMaps) -> Redacted:
    """Applies the outbound rule of the feature's policy, with the pseudonyms of the call or of its session.

    Raises PolicyRefused when the policy refuses what was found or media, or when the analysis fails or takes longer than the
    route's time (it fails closed), and
    InvalidRequest for input that cannot be inspected.
    """
    policy, vault = call.policy, Vault()
    if not policy.acts:
        return Redacted(body=prompt.body, vault=vault, entities={}, filled=prompt.filled)
    try:
        ends_at = perf_counter() + call.route.timeout_s
        redact_with = partial(redact_body, prompt.body, policy, filled=prompt.filled, ends_at=ends_at)
        if session := session_of(call):
            outcome = await sessions.redact(session, redact_with, partial(offload, executor))
            found, vault = outcome.found, outcome.vault
        else:
            found = await offload(executor, redact_with, vault)
    except EntitiesRefused as error:
        raise PolicyRefused(
            f"The policy {policy.name} refuses calls with {', '.join(error.types)}; remove it from the input.",
            call_id=call.ask.call_id,
        ) from None
    except MediaRefused as error:
        raise PolicyRefused(
            f"The policy {policy.name} refuses images, audio and files, as nobody checks them for personal data; leave the "
            f"{error} out of the input.",
            call_id=call.ask.call_id,
        ) from None
    except RedactionFailed as error:
        raise PolicyRefused(
            "The text could not be checked for personal data in the route's time, so it was not sent. "
            f"{error} See the server's log.",
            call_id=call.ask.call_id,
        ) from None
    except Uninspectable as error:
        raise InvalidRequest(str(error), param="input") from None
    return Redacted(body=found.body, vault=vault, entities=found.entities, filled=prompt.filled)
