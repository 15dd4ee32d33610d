"""Programs of the product over one chain and one database, under a clock that stands still while one is dead."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from gateway_agent.configuration import KEY_FILE
from gateway_agent.identity import write_secret
from market.chain.deployment import write_deployment
from market.clock import SimulatedClock
from market.clock_authority import ClockAuthority
from market.services.access import GATEWAY_ROLE, Scope, new_api_key
from market.store.database import read_scope, session_scope
from market.store.models import BrokerCredential, Transaction
from oracle.broker.credentials import password_hash
from tests.chain.world import KEYS, NODE, PORTFOLIO, World, gateway_key, nanogrid
from tests.gateway_agent.world import Installed, install
from tests.kill_points.killing import Kill, Program

TOKEN = "token of the tests"


@dataclass
class Stage:
    """A world and its programs. ports: of market and broker."""

    world: World
    folder: Path
    ports: dict[str, int]
    authority: ClockAuthority
    programs: dict[str, Program] = field(default_factory=dict)
    services: list[Program] = field(default_factory=list)
    """What runs beside them and does not take part in the clock."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['market']}"

    def add(self, name: str, *command: str, constants: dict[str, int] | None = None, **settings: str) -> Program:
        """A program that takes part in the clock."""
        self.programs[name] = self._program(name, command, constants or {}, settings)
        return self.programs[name]

    def _program(
        self, name: str, command: Sequence[str], constants: dict[str, int], settings: dict[str, str]
    ) -> Program:
        environment = {f"MERITGRID_{key}": value for key, value in (self._settings() | settings).items()}
        return Program(self.folder, ("market.cli", *command), environment, constants, name)

    async def start_broker(self) -> None:
        """The product's own broker; returns when it listens."""
        broker = self._program("broker", ("broker", "serve"), {}, {})
        self.services.append(broker)
        broker.start()
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.ports["broker"])
            except ConnectionRefusedError:
                assert broker.process is not None
                assert broker.process.is_alive(), broker.log
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return

    def _settings(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.world.engine.url.render_as_string(hide_password=False),
            "RPC_URL": self.world.chain.rpc_url,
            "DEPLOYMENT_FILE": str(self.folder / "deployment.json"),
            "RELAYER_KEY__HEX": KEYS["relayer"].hex(),
            "ORACLE_KEY__HEX": KEYS["oracle"].hex(),
            "API__PORT": str(self.ports["market"]),
            "API__BASE_URL": self.url,
            "MQTT__PORT": str(self.ports["broker"]),
            "CLOCK": f"simulated:127.0.0.1:{self.authority.port}",
            "CLOCK_TOKEN": TOKEN,
        }

    def enrolled(self, index: int, toml: str = "") -> Installed:
        """The folder of a nanogrid's gateway, as its enrolment leaves it; its devices are simulated."""
        world, folder = self.world, self.folder / f"gateway-{index}"
        addresses = world.contracts.deployment.addresses
        with session_scope(world.engine) as session:
            scopes = [Scope.READ, Scope.BIDS]
            address = world.contracts.call(world.contracts.settlement.functions.gatewayOf(nanogrid(index)))
            _, api_key = new_api_key(session, address, GATEWAY_ROLE, scopes, world.now_s, nanogrid(index))
            credential = BrokerCredential(
                username=address.lower(), password_sha256=password_hash("p"), kind=GATEWAY_ROLE, gateway=address,
                nanogrid=nanogrid(index), created_at=world.now_s, revoked_at=None,
            )  # fmt: skip
            session.add(credential)
        folder.mkdir(mode=0o700)
        write_secret(folder / KEY_FILE, gateway_key(index).hex())
        names = {"settlement": "Settlement", "auction": "MeritOrderAuction", "signals": "GridSignals"}
        roles = {role: world.address(role) for role in ("oracle", "dso", "relayer")}
        return install(
            folder,
            self.ports["broker"],
            nanogrid=nanogrid(index),
            toml=toml,
            market_url=self.url,
            node=NODE,
            portfolio=PORTFOLIO,
            contracts={name: addresses[contract] for name, contract in names.items()},
            api_key=api_key,
            **roles,
        )

    async def start(self, dying: str = "", kill: Kill | None = None) -> None:
        """Start all programs, one of them to be killed."""
        self.authority.expect(self.programs)
        for name, program in self.programs.items():
            program.start(kill if name == dying else None)

    async def sleeper(self, until_s: int) -> SimulatedClock:
        """Somebody who sleeps, so that time goes on also when no program runs."""
        self.authority.expect(["sleeper"])
        clock = SimulatedClock("127.0.0.1", self.authority.port, "sleeper", TOKEN)
        asleep = asyncio.create_task(clock.sleep_until(until_s))
        asleep.add_done_callback(lambda task: task.cancelled() or task.exception())
        return clock

    async def until(self, at_s: int, within_s: float = 90) -> None:
        """Have time go on to a moment at which all is done."""
        self.authority.stop_at(at_s)
        await asyncio.wait_for(self.authority.reached(at_s), within_s)

    def sent(self) -> Counter[tuple[str, str]]:
        """How many transactions there are of each purpose and state."""
        with read_scope(self.world.engine) as session:
            return Counter((row.purpose, row.state) for row in session.scalars(select(Transaction)))


@asynccontextmanager
async def stage_over(world: World, folder: Path, ports: Sequence[int]) -> AsyncIterator[Stage]:
    """The stage of a world: chain and programs have one time, that of the world. ports: of market and broker."""

    async def move_on(now_s: float) -> None:
        await asyncio.to_thread(world.at, int(now_s))

    write_deployment(folder / "deployment.json", world.contracts.deployment)
    authority = ClockAuthority(world.now_s, TOKEN, on_advance=move_on)
    authority.stop_at(world.now_s)
    await authority.start()
    stage = Stage(world, folder, dict(zip(("market", "broker"), ports, strict=True)), authority)
    try:
        yield stage
    finally:
        for program in (*stage.programs.values(), *stage.services):
            await asyncio.to_thread(program.stop)
        await authority.stop()
