"""Why a cluster cannot be reached: how far a connection comes, step by step."""

from __future__ import annotations

import socket
import ssl
import struct

from monitor.config.kafka import KafkaConfig

_PROBE_SECONDS = 2.0  # to connect, and once more for TLS


def why_unreachable(config: KafkaConfig) -> str:
    """Find out, step by step, how far each server lets us come: its name, its port, TLS, the password."""
    whys = []
    for server in config.bootstrap_servers:
        host, _, port = server.rpartition(":")
        if host and port.isdecimal() and int(port) < 65536:
            why = (
                _why_no_port(host, int(port))
                or _why_no_tls(host, int(port), config)
                or _why_no_login(host, int(port), config)
            )
        else:
            why = "is no host:port, expected one as in broker1:9092"
        whys.append(f"{server}: {why}")
    return "; ".join(whys)


def _why_no_port(host: str, port: int) -> str:
    try:
        _connect(host, port).close()
    except socket.gaierror:
        return "no such host. Check the name, or give another one with --servers"
    except OSError as error:
        why = (
            "nothing answers in time"
            if isinstance(error, TimeoutError)
            else (error.strerror or str(error)).lower()
        )
        return f"{why}. Is the broker up, and is this its address?"
    return ""


def _why_no_tls(host: str, port: int, config: KafkaConfig) -> str:
    protocol = config.security_protocol
    if not protocol.endswith("SSL"):
        to = '"SASL_SSL"' if protocol.startswith("SASL") else '"SSL", or to "SASL_SSL" with a password'
        return (
            ""
            if _why_no_handshake(host, port, _any_tls())
            else f'it speaks TLS, and security_protocol is "{protocol}": set it to {to}'
        )
    why = _why_no_handshake(host, port, _tls_of(config))
    hint = (
        "set ssl_cafile to the PEM file of the authority that signed it"
        if "VERIFY" in why
        else "is this its port for TLS?"
    )
    return f'no TLS with it ({why}), as security_protocol = "{protocol}" asks for: {hint}' if why else ""


def _why_no_login(host: str, port: int, config: KafkaConfig) -> str:
    offered, mechanism = _mechanisms(host, port, config), config.sasl_mechanism
    if offered is None:
        return "it answers, but not as a Kafka broker does. Is this its port for clients?"
    if not mechanism:
        if not offered:
            return "it answers, and then says nothing in time. Try again, with a longer --timeout"
        protocol = "SASL_SSL" if config.security_protocol == "SSL" else "SASL_PLAINTEXT"
        by = ", ".join(offered)
        return f'it asks who you are, by {by}: set security_protocol = "{protocol}", sasl_mechanism and its keys in [source.kafka]'
    if not offered:
        why = f'asks for no login, and sasl_mechanism is "{mechanism}": leave it out, or name another port'
    elif mechanism not in offered:
        why = f'does not take sasl_mechanism = "{mechanism}", but {", ".join(offered)}'
    elif mechanism == "OAUTHBEARER":
        why = f"refused the token in {config.sasl_token_file}: has it run out, or is it for another broker?"
    else:
        why = (
            f'refused the user "{config.sasl_username}" by {mechanism}: check sasl_username and sasl_password'
        )
    return f"it {why}"


def _mechanisms(host: str, port: int, config: KafkaConfig) -> list[str] | None:
    """Ask a broker by which mechanisms one may log in; none where it asks for no login, None where it is no broker.

    The one request of Kafka's protocol that is written here (SaslHandshake, version 1): kafka-python loses the answer
    where the broker hangs up behind it.
    """
    name, client = (config.sasl_mechanism or "PLAIN").encode(), b"barograph"
    body = struct.pack(">hhih", 17, 1, 1, len(client)) + client + struct.pack(">h", len(name)) + name
    try:
        with _connect(host, port) as plain:
            is_tls = config.security_protocol.endswith("SSL")
            connection = (
                _tls_of(config).wrap_socket(plain, server_hostname=host.strip("[]")) if is_tls else plain
            )
            with connection, connection.makefile("rb") as answer:
                connection.sendall(struct.pack(">i", len(body)) + body)
                size, _, _, n_names = struct.unpack(">iihi", answer.read(14))
                names = answer.read(min(size, 1 << 16) - 10)
    except (OSError, struct.error):
        return None
    found = []
    for _ in range(n_names if 0 <= n_names < 100 else 0):
        end = 2 + int.from_bytes(names[:2], "big")
        found.append(names[2:end].decode("ascii", "replace"))
        names = names[end:]
    return found


def listens(server: str) -> bool:
    """Tell whether something listens at an address."""
    host, _, port = server.rpartition(":")
    try:
        _connect(host, int(port)).close()
    except (OSError, ValueError):
        return False
    return True


def _connect(host: str, port: int) -> socket.socket:
    return socket.create_connection((host.strip("[]"), port), timeout=_PROBE_SECONDS)


def _why_no_handshake(host: str, port: int, context: ssl.SSLContext) -> str:
    """Give why no TLS connection could be made; empty where one could."""
    try:
        with _connect(host, port) as plain, context.wrap_socket(plain, server_hostname=host.strip("[]")):
            return ""
    except ssl.SSLCertVerificationError as error:
        return f"CERTIFICATE_VERIFY_FAILED: {error.verify_message}"
    except OSError as error:
        return getattr(error, "reason", None) or "it hangs up"


def _tls_of(config: KafkaConfig) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=config.ssl_cafile or None)
    context.check_hostname = config.ssl_check_hostname
    if config.ssl_certfile:
        context.load_cert_chain(config.ssl_certfile, config.ssl_keyfile or None, config.ssl_password or None)
    return context


def _any_tls() -> ssl.SSLContext:
    """Give a context that takes any certificate: it only finds out whether there is one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
