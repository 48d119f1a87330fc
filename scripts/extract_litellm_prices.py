"""Makes `gateway/prices/data/litellm.json` from a litellm wheel, without importing it.

    pip download litellm==1.106.2 --no-deps -d /tmp/wheels
    python scripts/extract_litellm_prices.py /tmp/wheels/litellm-1.106.2-*.whl

Kept are models billed by the token alone, with their tiers and service tiers, per million tokens. litellm's map is
MIT-licensed (Copyright Berri AI).
"""

import json
import re
import sys
import zipfile
from decimal import Decimal
from pathlib import Path

MAP = "litellm/model_prices_and_context_window_backup.json"
OUTPUT = Path(__file__).resolve().parent.parent / "gateway" / "prices" / "data" / "litellm.json"
MODES = {"chat", "completion", "responses", "embedding"}
#: litellm's names of providers → those of genai-prices, which the price book uses.
PROVIDERS = {
    "gemini": "google", "xai": "x-ai", "together_ai": "together", "fireworks_ai": "fireworks", "bedrock": "aws",
    "bedrock_converse": "aws", "moonshot": "moonshotai", "cohere_chat": "cohere", "voyage": "voyageai",
}  # fmt: skip
PARTS = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_audio_token": "audio_input",
    "output_cost_per_audio_token": "audio_output",
}
VARIANTS = {"_batches": "batch", "_flex": "flex", "_priority": "priority"}
KEY = re.compile(rf"({'|'.join(PARTS)})(?:_above_(\d+)k_tokens)?({'|'.join(VARIANTS)})?")
#: Billed by something besides tokens, which our rates cannot express.
NOT_BY_TOKEN = re.compile(r"_per_(second|character|pixel|query|page|session|request)")


def rates(entry: dict) -> dict | None:
    """Our rates of one entry; None when it is not billed by the token."""
    if entry.get("mode") not in MODES or entry.get("input_cost_per_token") is None:
        return None
    if any(NOT_BY_TOKEN.search(key) and value and "search_context" not in key for key, value in entry.items()):
        return None
    found: dict = {}
    for key, value in entry.items():
        match = KEY.fullmatch(key)
        if match is None or value is None:
            continue
        part, above, variant = PARTS[match[1]], match[2], match[3]
        place = found.setdefault("variants", {}).setdefault(VARIANTS[variant], {}) if variant else found
        if above:
            tiers = place.setdefault("tiers", [])
            tier = next((t for t in tiers if t["above"] == int(above) * 1000), None)
            if tier is None:
                tiers.append(tier := {"above": int(above) * 1000})
            place = tier
        place[part] = f"{(Decimal(str(value)) * 1_000_000).normalize():f}"
    return found


def main(wheel: str) -> None:
    version = re.search(r"litellm-([\d.]+)-", wheel)[1]
    with zipfile.ZipFile(wheel) as archive:
        entries = json.loads(archive.read(MAP))
    models: dict = {}
    for name, entry in entries.items():
        own = entry.get("litellm_provider")
        if own is None or (found := rates(entry)) is None:
            continue
        provider = PROVIDERS.get(own, own.removesuffix("-language-models"))
        models.setdefault(provider, {})[name.removeprefix(f"{own}/")] = found
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(
        json.dumps({"source": f"litellm {version}", "models": models}, separators=(",", ":"), sort_keys=True)
    )
    print(f"{sum(map(len, models.values()))} models of {len(models)} providers, {OUTPUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
