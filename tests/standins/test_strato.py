"""The Strato stand-in answers each code of dyndns2, and loses its patience as the real one does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from ipaddress import ip_address

import pytest

from homing.effects.clock import ManualClock
from homing.effects.http import HttpClient, HttpError
from homing.standins import Fault, StratoServer
from homing.standins.faults import Kind, answer
from tests.waiting import patience

HOST, OTHER = "www.example.de", "mail.example.de"
LOGIN = (HOST, "geheim")


class Client:
    """Sends updates as a dyndns2 client does."""

    def __init__(self, server: StratoServer, http: HttpClient) -> None:
        self.server = server
        self.http = http

    async def update(
        self,
        hosts: str = HOST,
        myip: str | None = "84.17.33.10",
        login: tuple[str, str] | None = LOGIN,
        headers: dict[str, str] | None = None,
    ) -> str:
        """The answer's text without the final line break."""
        params = {"hostname": hosts, **({} if myip is None else {"myip": myip})}
        url = self.server.endpoints[0].url("/nic/update")
        reply = await self.http.request("GET", url, timeout=patience(), auth=login, params=params, headers=headers)
        return reply.text.strip()


@pytest.fixture
async def clock() -> ManualClock:
    """A clock that stands still."""
    return ManualClock()


@pytest.fixture
async def strato(clock: ManualClock) -> AsyncIterator[Client]:
    """A client of a server with two hosts of one account and one of another."""
    hosts = {HOST: "example.de", OTHER: "example.de", "www.example.net": "example.net"}
    passwords = {"example.de": "geheim", "example.net": "anders"}
    async with StratoServer(hosts, passwords, clock=clock) as server, HttpClient() as http:
        yield Client(server, http)


async def test_a_change_is_good_and_no_change_nochg(strato: Client) -> None:
    """The first update is published, the same again is not a change."""
    assert await strato.update() == "good 84.17.33.10"
    assert await strato.update() == "nochg 84.17.33.10"
    assert strato.server.published[HOST] == (ip_address("84.17.33.10"),)


async def test_both_families_come_by_comma_and_a_missing_one_is_deleted(strato: Client) -> None:
    """One request sets both families, and one with a single family deletes the other."""
    assert await strato.update(myip="84.17.33.10,2a01:4f8:77:1::10") == "good 84.17.33.10 2a01:4f8:77:1::10"
    assert await strato.update(myip="2a01:4f8:77:1::10") == "good 2a01:4f8:77:1::10"
    assert strato.server.published[HOST] == (ip_address("2a01:4f8:77:1::10"),)
    assert [sorted(request.families) for request in strato.server.log] == [[4, 6], [6]]


async def test_without_myip_the_clients_address_counts(strato: Client) -> None:
    """The server takes the address it sees."""
    assert await strato.update(myip=None) == "good 127.0.0.1"


@pytest.mark.parametrize("user", ["example.de", HOST, OTHER])
async def test_the_account_and_its_hosts_log_in(strato: Client, user: str) -> None:
    """The user is the account or any domain of it."""
    assert await strato.update(login=(user, "geheim")) == "good 84.17.33.10"


@pytest.mark.parametrize("login", [None, (HOST, "falsch"), ("nobody.example", "geheim"), ("example.net", "geheim")])
async def test_wrong_credentials_are_badauth(strato: Client, login: tuple[str, str] | None) -> None:
    """A wrong login publishes nothing and says so once, however many hosts were asked for."""
    assert await strato.update(f"{HOST},{OTHER}", login=login) == "badauth"
    assert strato.server.published[HOST] == ()


@pytest.mark.parametrize("agent", ["", "Mozilla", "curl/8.0"])
async def test_an_agent_without_a_contact_is_badagent(strato: Client, agent: str) -> None:
    """The User-Agent names program, version and contact."""
    assert await strato.update(headers={"User-Agent": agent}) == "badagent"


async def test_each_host_has_its_line(strato: Client) -> None:
    """Several hosts get a code each, in their order; a host of another account is nohost."""
    assert await strato.update(f"{HOST},www.example.net,{OTHER}") == "good 84.17.33.10\nnohost\ngood 84.17.33.10"


@pytest.mark.parametrize(
    ("hosts", "code"), [("", "notfqdn"), ("localhost", "notfqdn"), (",".join(["a.example.de"] * 21), "numhost")]
)
async def test_a_bad_list_of_hosts_is_told(strato: Client, hosts: str, code: str) -> None:
    """A name that is no host name, and too many of them."""
    assert await strato.update(hosts) == code


async def test_repeated_nochg_blocks_the_host(strato: Client, clock: ManualClock) -> None:
    """The third unchanged update in a row is abuse, and so is what follows, until support unblocks it."""
    codes = []
    for _ in range(5):
        codes.append((await strato.update()).split()[0])
        await clock.advance(300)
    assert codes == ["good", "nochg", "nochg", "abuse", "abuse"]
    assert await strato.update(OTHER) == "good 84.17.33.10"
    strato.server.unblock()
    assert await strato.update(myip="84.17.39.77") == "good 84.17.39.77"


async def test_two_hosts_every_ten_seconds_are_abuse(strato: Client, clock: ManualClock) -> None:
    """A client that retries that fast is blocked within a minute, even though each update is a change."""
    for turn in range(6):
        for host in (HOST, OTHER):
            last = await strato.update(host, myip=f"84.17.33.{turn + 1}")
        await clock.advance(10)
    assert last == "abuse"
    assert strato.server.blocked == {HOST, OTHER}


async def test_two_hosts_every_minute_are_fine(strato: Client, clock: ManualClock) -> None:
    """A patient client is never blocked."""
    for turn in range(10):
        assert await strato.update(f"{HOST},{OTHER}", myip=f"84.17.33.{turn + 1}") == "\n".join(
            [f"good 84.17.33.{turn + 1}"] * 2
        )
        await clock.advance(60)


@pytest.mark.parametrize(
    "code",
    [
        *("badauth", "badagent", "badsys", "notfqdn", "nohost", "numhost", "abuse"),
        *("!donator", "!yours", "911", "dnserr", "good 127.0.0.1"),
    ],
)
async def test_every_code_can_be_scripted(strato: Client, code: str) -> None:
    """A scripted code is answered to its host once and remembered in the log; nothing is published."""
    strato.server.faults.add(answer(code), key=HOST)
    assert await strato.update() == code
    assert strato.server.log[-1].code == code
    assert strato.server.published[HOST] == ()
    assert await strato.update() == "good 84.17.33.10"


@pytest.mark.parametrize(("fault", "code"), [(Fault(Kind.HANG), "timeout"), (Fault(Kind.RESET), "reset")])
async def test_it_can_hang_and_reset(strato: Client, fault: Fault, code: str) -> None:
    """The connection goes wrong as told, and the log has the request."""
    strato.server.faults.add(fault, times=None)  # clients may repeat a GET that was reset
    with pytest.raises(HttpError) as caught:
        await strato.update()
    assert caught.value.code == code
    assert strato.server.log[-1].code == f"fault:{fault.kind.value}"


async def test_other_paths_are_not_found(strato: Client) -> None:
    """Only the one path updates."""
    reply = await strato.http.request("GET", strato.server.endpoints[0].url("/update"), timeout=patience(), auth=LOGIN)
    assert reply.status == 404
