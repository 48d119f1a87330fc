"""A small configured world for tests: one provider, a route, features and their prices."""

from decimal import Decimal
from typing import Any

from gateway import engine, keys
from gateway.models import Deployment, Feature, Price, Prompt, PromptVersion, Provider, Route, Target, Variant
from gateway.prompts.address import address
from redaction.models import RedactionPolicy

RATES = {"input": "10", "cache_read": "5", "output": "20", "reasoning": "40"}


class World:
    """Makes catalog rows; everything has a default."""

    def __init__(self, base_url: str) -> None:
        self.provider = Provider.objects.create(name="mock", kind="openai", base_url=base_url)
        self.off = RedactionPolicy.objects.create(name="off", outbound="off", stored="full")

    def policy(self, name: str, **values: Any) -> RedactionPolicy:
        return RedactionPolicy.objects.create(name=name, **values)

    def price(self, model: str, rates: dict[str, str] = RATES, provider: str = "mock") -> None:
        Price.objects.create(provider=provider, model=model, rates=rates, source="catalog")

    def kind(self, kind: str, **values: Any) -> Provider:
        """Another provider, of that kind and name, at the mock's address."""
        return Provider.objects.create(**{"name": kind, "kind": kind, "base_url": self.provider.base_url, **values})

    def feature(
        self,
        slug: str = "f",
        *models: str | tuple[Provider, str],
        priced: bool = True,
        route: dict[str, Any] | None = None,
        **values: Any,
    ) -> Feature:
        """A feature whose route has these models, in order: of the mock provider where they come without one."""
        models = models or ("echo",)
        made = Route.objects.create(name=slug, **{"timeout_s": 20, "retries": 0, **(route or {})})
        for position, target in enumerate(models):
            provider, model = (self.provider, target) if isinstance(target, str) else target
            Target.objects.create(route=made, position=position, provider=provider, model=model)
            if priced and not Price.objects.filter(provider=provider.name, model=model).exists():
                self.price(model, provider=provider.name)
        return Feature.objects.create(
            **{"slug": slug, "route": made, "policy": self.off, "max_output_tokens": 100, **values}
        )

    def prompt(self, feature: Feature, *contents: dict[str, Any]) -> list[PromptVersion]:
        """Live versions of the feature's prompt, with equal weights."""
        prompt = Prompt.objects.create(feature=feature)
        deployment = Deployment.objects.create(prompt=prompt)
        versions = []
        for number, content in enumerate(contents):
            version = PromptVersion.objects.create(
                prompt=prompt, address=address(content), content=content, origin="catalog"
            )
            Variant.objects.create(deployment=deployment, version=version, name=str(number))
            versions.append(version)
        return versions

    def key(self, *features: str, **values: Any) -> str:
        return keys.create(values.pop("name", "test"), list(features or ("*",)), **values)


def fresh_engine() -> None:
    """Closes the engine, so that the next call starts one with the catalog as it is now."""
    engine.stop()


def usd(text: str) -> Decimal:
    return Decimal(text)
