"""`meritgrid broker authority`, `mosquitto`, `certificate`, `revoke`, `guard`: gateways are known by certificate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from market.cli_refusals import starting
from market.cli_session import AsJson, refusals, say
from market.observability import LOCALHOST, MetricsHost, MetricsPort, logging_as, serve_metrics
from market.services.enrolment_ca import EnrolmentCa
from market.settings import Settings, SettingsError

BrokerFolder = Annotated[Path, typer.Option(help="The broker's folder, as `meritgrid broker mosquitto` writes it.")]
DEFAULT_FOLDER = Path("/var/lib/mosquitto/meritgrid")


def new_authority(
    ca_file: Annotated[Path, typer.Option(help="New file for the authority's certificate.")] = Path("enrolment-ca.pem"),
    ca_key_file: Annotated[Path, typer.Option(help="New file (mode 600) for its key.")] = Path("enrolment-ca.key"),
    as_json: AsJson = False,
) -> None:
    """Make the authority that signs gateways' and services' certificates for the broker. Once.

    Example: meritgrid broker authority --ca-file enrolment-ca.pem --ca-key-file enrolment-ca.key
    """
    with refusals(as_json):
        made = EnrolmentCa.create(ca_file, ca_key_file)
    end = made.certificate.not_valid_after_utc.date().isoformat()
    document = {"ca_file": str(ca_file), "ca_key_file": str(ca_key_file), "end": end}
    say(document, as_json, f"The authority is in {ca_file}, its key in {ca_key_file}; it ends on {end}.")


def write_mosquitto(
    folder: BrokerFolder = DEFAULT_FOLDER,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on which Mosquitto listens.")] = 8883,
    bind: Annotated[str, typer.Option(help="Address on which it listens.")] = "0.0.0.0",  # noqa: S104 - TLS only
    host: Annotated[list[str] | None, typer.Option(help="Name or address in its certificate; may be repeated.")] = None,
    oracle: Annotated[list[str] | None, typer.Option(help="Name of an oracle's process; may be repeated.")] = None,
    user: Annotated[str | None, typer.Option(help="User that Mosquitto becomes, and that gets the folder.")] = None,
    home: Annotated[Path | None, typer.Option(help="Where the folder will be, if it is carried elsewhere.")] = None,
    plugin: Annotated[Path | None, typer.Option(help="Mosquitto's dynamic-security plugin there.")] = None,
    renew: Annotated[bool, typer.Option("--renew", help="Only a new certificate of the broker.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the folder of a Mosquitto: configuration, access list, certificates of the broker and of the services.

    The settings name the authority (MERITGRID_MQTT__ENROLMENT_CA_FILE, __ENROLMENT_CA_KEY_FILE).

    Example: meritgrid broker mosquitto --folder /var/lib/mosquitto/meritgrid --host broker.example --user mosquitto
    """
    from oracle.broker import mosquitto

    with refusals(as_json):
        authority = _authority(Settings())
        if renew:
            mosquitto.renew_server(folder, authority)
        else:
            mosquitto.write_folder(
                folder, port, authority, bind=bind, hosts=host or ("127.0.0.1", "localhost"),
                oracles=oracle or ("oracle",), user=user, home=home, plugin=plugin,
            )  # fmt: skip
    done = f"The broker's certificate in {folder} is new; SIGHUP has Mosquitto read it." if renew else (
        f"Start it: mosquitto -c {(home or folder) / mosquitto.CONFIGURATION_FILE}"
    )  # fmt: skip
    say({"folder": str(folder), "renewed": renew}, as_json, done)


def service_certificate(
    name: Annotated[str, typer.Option(help="The service's name at the broker: an oracle's, or guard.")],
    folder: Annotated[Path, typer.Option(help="Where NAME.pem and NAME.key are written.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Make a service's key and certificate: for another oracle, or in place of one that ends.

    Example: meritgrid broker certificate --name oracle --folder /etc/meritgrid/keys
    """
    from oracle.broker.mosquitto import write_service

    with refusals(as_json):
        certificate, key = write_service(_authority(Settings()), folder, name)
    say({"certificate": str(certificate), "key": str(key)}, as_json, f"{name}: {certificate}, {key}")


def revoke_gateway(
    gateway: Annotated[str, typer.Option(help="Address of the gateway.")],
    as_json: AsJson = False,
) -> None:
    """Revoke all certificates of a gateway, which keeps its seat: for one whose certificate got into wrong hands.

    Who is to lose its seat too is unseated instead (`meritgrid operator change gateway`), which revokes by itself.
    The gateway asks for another certificate by its own key, or enrols again.

    Example: meritgrid broker revoke --gateway 0x…
    """
    from market.domain.typed_data import checksum_address
    from market.services.certificates import GatewayCertificates
    from market.store.database import migrate, open_engine, session_scope

    with refusals(as_json):
        settings = Settings()
        certificates = GatewayCertificates(_authority(settings))
        migrate(settings.database)
        with session_scope(open_engine(settings.database)) as session:
            count = certificates.revoke_of_gateway(session, checksum_address(gateway))
        if not count:
            raise ValueError(f"the gateway {gateway} has no certificate that is not revoked")
    say({"gateway": gateway, "revoked": count}, as_json, f"{count} certificates of {gateway} are revoked.")


def serve_guard(
    folder: BrokerFolder = DEFAULT_FOLDER,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = LOCALHOST,
    as_json: AsJson = False,
) -> None:
    """Stand beside Mosquitto and shut revoked gateways out. Runs as Mosquitto's user, on its machine.

    Example: meritgrid broker guard --folder /var/lib/mosquitto/meritgrid
    """
    import asyncio

    from market.store.database import migrate, open_engine
    from oracle.broker.guard import Guard, serve

    with refusals(as_json):
        settings = Settings()
    logging_as(settings.log, "guard", as_json)
    with starting("The broker's guard", as_json, SettingsError):
        migrate(settings.database)
        guard = Guard(open_engine(settings.database), folder, settings.mqtt.host, settings.mqtt.port)
        serve_metrics(metrics_port, metrics_host, settings.open_clock("guard").now)
        asyncio.run(serve(guard))


def _authority(settings: Settings) -> EnrolmentCa:
    mqtt = settings.mqtt
    if mqtt.enrolment_ca_file is None or mqtt.enrolment_ca_key_file is None:
        raise SettingsError("set MERITGRID_MQTT__ENROLMENT_CA_FILE and MERITGRID_MQTT__ENROLMENT_CA_KEY_FILE")
    return EnrolmentCa.load(mqtt.enrolment_ca_file, mqtt.enrolment_ca_key_file)


def register(broker: typer.Typer) -> None:
    """Add the commands to `meritgrid broker`."""
    broker.command("authority")(new_authority)
    broker.command("mosquitto")(write_mosquitto)
    broker.command("certificate")(service_certificate)
    broker.command("revoke")(revoke_gateway)
    broker.command("guard")(serve_guard)
