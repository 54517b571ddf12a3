"""What every provider must do, whatever stands behind it."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator

import pytest

from homing.effects.http import HttpClient
from homing.errors import ProviderBusy, ProviderError, ProviderLocked, ProviderRefused
from homing.model.address import Family
from homing.model.name import parse_name
from tests.contract.targets import HANG_LIMIT, PEERS, PROVIDERS, Target
from tests.providers.changes import change, plan
from tests.waiting import patience

FIRST, SECOND = "203.0.113.7", "198.51.100.23"
SIX = "2001:db8::7"
SALT = b"salt of the tests"

_numbers = itertools.count()


ALL = [pytest.param(key, marks=pytest.mark.peers if key in PEERS else ()) for key in PROVIDERS]
REMOTE = [param for param in ALL if param.values != ("zone",)]
"""Those that have credentials, and a server that could hang."""


@pytest.fixture(params=ALL)
async def target(request: pytest.FixtureRequest, http: HttpClient) -> AsyncIterator[Target]:
    async with PROVIDERS[request.param](request, http) as opened:
        yield opened
        await opened.provider.aclose()


@pytest.fixture
def fqdn() -> str:
    """A name that no other test uses."""
    return f"host{next(_numbers)}.example.net"


async def test_both_families_are_published_in_one_apply(target: Target, fqdn: str) -> None:
    """After one apply the server holds the IPv4 and the IPv6 address."""
    await target.provider.apply(change(fqdn, [], FIRST, SIX))
    assert await target.held(parse_name(fqdn)) == {FIRST, SIX}


async def test_a_changed_ipv4_address_keeps_the_ipv6_address(target: Target, fqdn: str) -> None:
    """Changing one family leaves the other as it was."""
    await target.provider.apply(change(fqdn, [], FIRST, SIX))
    await target.provider.apply(change(fqdn, [FIRST, SIX], SECOND, SIX))
    assert await target.held(parse_name(fqdn)) == {SECOND, SIX}


async def test_what_was_written_is_read_back(target: Target, fqdn: str) -> None:
    """A readable provider gives back addresses and TTL as written; another one says that it cannot."""
    wanted = change(fqdn, [], FIRST, SIX)
    await target.provider.apply(wanted)
    if not target.provider.traits.readable:
        with pytest.raises(ProviderRefused):
            await target.provider.read(parse_name(fqdn))
    else:
        assert set(await target.provider.read(parse_name(fqdn))) == set(wanted.wanted)


async def test_nothing_is_left_to_do_after_an_apply(target: Target, fqdn: str) -> None:
    """The difference between what is known to be published and what was wanted is empty."""
    name, readable = parse_name(fqdn), target.provider.traits.readable
    wanted = change(fqdn, await target.provider.read(name) if readable else (), FIRST, SIX)
    await target.provider.apply(wanted)
    known = await target.provider.read(name) if readable else wanted.wanted
    assert plan(fqdn, known, FIRST, SIX).changes == ()


async def test_a_family_is_removed_where_the_provider_can(target: Target, fqdn: str) -> None:
    """Removing the IPv6 address leaves the IPv4 address; who cannot do it refuses and changes nothing."""
    await target.provider.apply(change(fqdn, [], FIRST, SIX))
    removal = change(fqdn, [FIRST, SIX], FIRST, gone=[Family.V6])
    if target.deletes:
        await target.provider.apply(removal)
        assert await target.held(parse_name(fqdn)) == {FIRST}
    else:
        with pytest.raises(ProviderRefused):
            await target.provider.apply(removal)
        assert await target.held(parse_name(fqdn)) == {FIRST, SIX}


async def test_the_same_change_twice_is_harmless(target: Target, fqdn: str) -> None:
    """A change that was done already is done again without an error and without a difference."""
    wanted = change(fqdn, [], FIRST, SIX)
    await target.provider.apply(wanted)
    await target.provider.apply(wanted)
    assert await target.held(parse_name(fqdn)) == {FIRST, SIX}


@pytest.mark.parametrize("target", REMOTE, indirect=True)
async def test_a_wrong_secret_locks_the_account(target: Target, fqdn: str) -> None:
    """Wrong credentials stop the account until a person acts, and nothing is published."""
    assert target.denied is not None
    with pytest.raises(ProviderLocked) as raised:
        await target.denied.apply(change(fqdn, [], FIRST, SIX))
    assert (raised.value.account, raised.value.seconds) == (True, None)
    assert await target.held(parse_name(fqdn)) == frozenset()


@pytest.mark.parametrize("target", REMOTE, indirect=True)
async def test_a_hang_ends_within_the_timeout(target: Target, fqdn: str) -> None:
    """A server that never answers means busy, no later than the provider's timeout and a little."""
    assert target.hanging is not None
    started = time.monotonic()
    with pytest.raises(ProviderBusy) as raised:
        await target.hanging.apply(change(fqdn, [], FIRST, SIX))
    assert raised.value.code == "timeout"
    assert time.monotonic() - started < HANG_LIMIT + 2 * patience()


@pytest.mark.parametrize("target", REMOTE, indirect=True)
async def test_no_secret_is_told(target: Target, fqdn: str) -> None:
    """Neither errors nor representations hold a secret."""
    told = [repr(target.provider), target.provider.account(parse_name(fqdn))]
    told.append(target.provider.fingerprint(parse_name(fqdn), SALT))
    for provider in filter(None, (target.denied, target.hanging)):
        with pytest.raises(ProviderError) as raised:
            await provider.apply(change(fqdn, [], FIRST, SIX))
        told += [str(raised.value), repr(raised.value), repr(provider)]
    assert not [text for text in told for secret in target.secrets if secret in text]


@pytest.mark.parametrize("target", REMOTE, indirect=True)
async def test_errors_name_provider_and_name(target: Target, fqdn: str) -> None:
    """An error says which provider and which name it is about."""
    for provider in filter(None, (target.denied, target.hanging)):
        with pytest.raises(ProviderError, match=rf"^provider {provider.name}: .*{fqdn}"):
            await provider.apply(change(fqdn, [], FIRST, SIX))
