"""When a provider is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homing.errors import ProviderLocked
from homing.model.lockout import Lockout
from homing.model.name import parse_name
from homing.providers.lockout import active, lockout_for, next_allowed

WWW, MAIL = parse_name("www.example.de"), parse_name("mail.example.de")
NOW = 1_700_000_000.0


def locked(*, account: bool, seconds: float | None = None, code: str = "badauth") -> Lockout:
    error = ProviderLocked(code, f"provider strato: {code}", account=account, seconds=seconds)
    return lockout_for(error, "strato", "me@strato", WWW, NOW, "old")


def test_a_lockout_says_what_the_error_said() -> None:
    """Provider, account, code, reason, beginning and end are kept for people and for the disk."""
    lockout = locked(account=False, seconds=1800, code="dnserr")
    expected = ("strato", "me@strato", "www.example.de", "dnserr", "provider strato: dnserr", NOW, NOW + 1800, "old")
    assert lockout == Lockout(*expected)


def test_an_account_lockout_holds_every_host_of_the_account() -> None:
    """badauth for one host pauses the others of the same account too."""
    lockout = locked(account=True)
    assert active([lockout], "strato", "me@strato", MAIL, NOW + 1, "old") is lockout


def test_a_host_lockout_holds_that_host_alone() -> None:
    """nohost for one host leaves the others alone."""
    lockout = locked(account=False, code="nohost")
    assert active([lockout], "strato", "me@strato", WWW, NOW + 1, "old") is lockout
    assert active([lockout], "strato", "me@strato", MAIL, NOW + 1, "old") is None


@pytest.mark.parametrize(("provider", "account"), [("other", "me@strato"), ("strato", "you@strato")])
def test_other_providers_and_accounts_are_free(provider: str, account: str) -> None:
    """A lockout holds at its own provider and account only."""
    assert active([locked(account=True)], provider, account, WWW, NOW, "old") is None


@pytest.mark.parametrize("code", ["badauth", "abuse", "nohost", "notfqdn"])
def test_changed_credentials_lift_what_a_person_had_to_change(code: str) -> None:
    """A lockout without an end goes when the credentials' fingerprint is another (U7)."""
    lockout = locked(account=code == "badauth", code=code)
    assert active([lockout], "strato", "me@strato", WWW, NOW + 9e9, "old") is lockout
    assert active([lockout], "strato", "me@strato", WWW, NOW + 1, "new") is None


def test_unreadable_credentials_lift_nothing() -> None:
    """A secret file that is gone for a moment does not end a lockout."""
    assert active([locked(account=True)], "strato", "me@strato", WWW, NOW + 1, "") is not None


def test_a_timed_lockout_ends_at_its_time_and_not_by_new_credentials() -> None:
    """911 holds for its 30 minutes, whatever the credentials are."""
    lockout = locked(account=True, seconds=1800, code="911")
    assert active([lockout], "strato", "me@strato", WWW, NOW + 1799, "new") is lockout
    assert active([lockout], "strato", "me@strato", WWW, NOW + 1800, "old") is None


def test_the_longest_lockout_is_told() -> None:
    """Of a timed and an endless lockout the endless one is given."""
    timed, endless = locked(account=True, seconds=1800, code="911"), locked(account=False, code="abuse")
    assert active([timed, endless], "strato", "me@strato", WWW, NOW, "old") is endless


def test_a_host_is_asked_again_after_the_cooldown() -> None:
    """The next request is allowed 60 s after the last one, at once when there was none."""
    assert next_allowed(NOW, 60, NOW + 20) == NOW + 60
    assert next_allowed(NOW, 60, NOW + 90) == NOW + 90
    assert next_allowed(None, 60, NOW) == NOW


@given(last=st.floats(0, 4e9), now=st.floats(0, 4e9), cooldown=st.floats(0, 86400))
def test_a_cooldown_never_waits_longer_than_itself(last: float, now: float, cooldown: float) -> None:
    """A clock that was set back delays by one cooldown at most."""
    assert now <= next_allowed(last, cooldown, now) <= now + cooldown
