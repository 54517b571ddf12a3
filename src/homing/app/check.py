"""``homing check``: everything that can be known of a configuration without asking anybody."""

from __future__ import annotations

import random
from dataclasses import dataclass

from homing.app.build import accepted_networks, build_names, build_provider, http_client, secret_of, web_access
from homing.app.dns.ways import settings_setup
from homing.app.news import check_wishes
from homing.app.observe import build_observing
from homing.app.places import parse_listen
from homing.app.secondaries import transfer_policy
from homing.app.settings import Loaded
from homing.app.zones import build_zones
from homing.effects.clock import SystemClock
from homing.effects.http import HttpClient
from homing.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Report:
    """Errors make a configuration unusable, notes do not."""

    errors: tuple[str, ...]
    notes: tuple[str, ...]
    names: int


async def check(loaded: Loaded) -> Report:
    """All errors found, not only the first of each table."""
    errors: list[str] = []
    notes = list(loaded.notes)
    names = 0
    settings = loaded.settings
    try:
        accepted_networks(loaded)
        build_zones(loaded)
        names = len(build_names(loaded))
        transfer_policy(loaded)()
        settings_setup(loaded)
        web_access(loaded, settings.web)
    except ConfigError as error:
        errors.append(str(error))
    errors += map(str, check_wishes(loaded))
    async with HttpClient() as http:
        try:
            build_observing(loaded, http, clock=SystemClock(), chance=random.Random())  # noqa: S311 - nothing is chosen
        except ConfigError as error:
            errors.append(str(error))
        for key, provider in settings.providers.items():
            try:
                http_client(loaded, provider.ca_file, f"{loaded.origin}: providers.{key}")
                build_provider(key, provider, loaded, http)
                secret_of(provider, loaded, f"{loaded.origin}: providers.{key}").reveal()
            except ConfigError as error:
                errors.append(str(error))
    listens = [("web", settings.web.listen), ("web", settings.web.legacy_listen)]
    listens += [("dns", settings.dns.listen)] if settings.dns else []
    for table, addresses in listens:
        for text in addresses:
            try:
                parse_listen(text, f"{loaded.origin}: {table}.listen", 53)
            except ConfigError as error:
                errors.append(str(error))
    used = {name.provider for name in settings.names}
    notes += [f"provider {key} is used by no name" for key in settings.providers if key not in used]
    if not settings.names:
        notes.append("no names are configured: add [[names]]")
    return Report(tuple(errors), tuple(notes), names)
