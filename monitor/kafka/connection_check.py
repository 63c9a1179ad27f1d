"""Why a cluster cannot be reached: which step of connecting to its brokers fails."""

from __future__ import annotations

import socket
import ssl
import struct

from monitor.config.kafka import KafkaConfig

__all__ = ["listens", "why_unreachable"]

_PROBE_SECONDS = 2.0  # to connect, and once more for TLS
_SASL_HANDSHAKE = 17  # Kafka's number of the request
_MOST_MECHANISMS = 100  # more is no broker's answer


def why_unreachable(config: KafkaConfig) -> str:
    """Try each server step by step (name, port, TLS, login), and say which step fails and what to do."""
    causes = []
    for server in config.bootstrap_servers:
        host, _, port = server.rpartition(":")
        if host and port.isdecimal() and int(port) < 65536:
            cause = (
                _why_no_port(host, int(port))
                or _why_no_tls(host, int(port), config)
                or _why_no_login(host, int(port), config)
            )
        else:
            cause = "is not host:port, as in broker1:9092"
        causes.append(f"{server}: {cause}")
    return "; ".join(causes)


def listens(server: str) -> bool:
    """Tell whether something listens at an address."""
    host, _, port = server.rpartition(":")
    try:
        _connect(host, int(port)).close()
    except (OSError, ValueError):
        return False
    return True


def _why_no_port(host: str, port: int) -> str:
    try:
        _connect(host, port).close()
    except socket.gaierror:
        return "no such host. Check the name, or give another one with --servers"
    except TimeoutError:
        cause = "nothing answers in time"
    except OSError as error:
        cause = (error.strerror or str(error)).lower()
    else:
        return ""
    return f"{cause}. Is the broker up, and is this its address?"


def _why_no_tls(host: str, port: int, config: KafkaConfig) -> str:
    protocol = config.security_protocol
    if not protocol.endswith("SSL"):
        if _why_no_handshake(host, port, _any_tls()):
            return ""  # it does not speak TLS, and need not
        right = '"SASL_SSL"' if protocol.startswith("SASL") else '"SSL", or to "SASL_SSL" with a password'
        return f'it speaks TLS, and security_protocol is "{protocol}": set it to {right}'
    cause = _why_no_handshake(host, port, _tls_of(config))
    if not cause:
        return ""
    hint = "is this its port for TLS?"
    if "VERIFY" in cause:
        hint = "set ssl_cafile to the PEM file of the authority that signed it"
    return f'no TLS with it ({cause}), as security_protocol = "{protocol}" asks for: {hint}'


def _why_no_login(host: str, port: int, config: KafkaConfig) -> str:
    offered = _mechanisms(host, port, config)
    mechanism = config.sasl_mechanism
    if offered is None:
        return "it answers, but not as a Kafka broker does. Is this its port for clients?"
    if not mechanism:
        return _why_no_login_is_refused(offered, config)
    if not offered:
        cause = f'asks for no login, and sasl_mechanism is "{mechanism}": leave it out, or name another port'
    elif mechanism not in offered:
        cause = f'does not take sasl_mechanism = "{mechanism}", but {", ".join(offered)}'
    elif mechanism == "OAUTHBEARER":
        cause = f"refused the token in {config.sasl_token_file}: has it expired, or is it for another broker?"
    else:
        user = config.sasl_username
        cause = f'refused the user "{user}" by {mechanism}: check sasl_username and sasl_password'
    return f"it {cause}"


def _why_no_login_is_refused(offered: list[str], config: KafkaConfig) -> str:
    if not offered:
        return "it accepts the connection, and then does not answer in time. Try a longer --timeout"
    protocol = "SASL_SSL" if config.security_protocol == "SSL" else "SASL_PLAINTEXT"
    return (
        f'it asks who you are, by {", ".join(offered)}: set security_protocol = "{protocol}", '
        "sasl_mechanism and its keys in [source.kafka]"
    )


def _mechanisms(host: str, port: int, config: KafkaConfig) -> list[str] | None:
    """Ask a broker for its login mechanisms: none if it asks for no login, None if it is no broker.

    This is the only request of Kafka's protocol that is written here (SaslHandshake, version 1): kafka-python
    loses the answer when the broker closes the connection after it.
    """
    name = (config.sasl_mechanism or "PLAIN").encode()
    client = b"barograph"
    header = struct.pack(">hhih", _SASL_HANDSHAKE, 1, 1, len(client)) + client
    request = header + struct.pack(">h", len(name)) + name
    try:
        with _connect(host, port) as plain:
            connection: socket.socket = plain
            if config.security_protocol.endswith("SSL"):
                connection = _tls_of(config).wrap_socket(plain, server_hostname=host.strip("[]"))
            with connection, connection.makefile("rb") as answer:
                connection.sendall(struct.pack(">i", len(request)) + request)
                size, _, _, n_names = struct.unpack(">iihi", answer.read(14))
                names = answer.read(min(size, 1 << 16) - 10)
    except (OSError, struct.error):
        return None
    mechanisms = []
    for _ in range(n_names if 0 <= n_names < _MOST_MECHANISMS else 0):
        end = 2 + int.from_bytes(names[:2], "big")
        mechanisms.append(names[2:end].decode("ascii", "replace"))
        names = names[end:]
    return mechanisms


def _connect(host: str, port: int) -> socket.socket:
    return socket.create_connection((host.strip("[]"), port), timeout=_PROBE_SECONDS)


def _why_no_handshake(host: str, port: int, context: ssl.SSLContext) -> str:
    """Give why no TLS connection can be made; empty where one can."""
    try:
        with _connect(host, port) as plain, context.wrap_socket(plain, server_hostname=host.strip("[]")):
            return ""
    except ssl.SSLCertVerificationError as error:
        return f"CERTIFICATE_VERIFY_FAILED: {error.verify_message}"
    except OSError as error:
        return getattr(error, "reason", None) or "it closes the connection"


def _tls_of(config: KafkaConfig) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=config.ssl_cafile or None)
    context.check_hostname = config.ssl_check_hostname
    if config.ssl_certfile:
        context.load_cert_chain(config.ssl_certfile, config.ssl_keyfile or None, config.ssl_password or None)
    return context


def _any_tls() -> ssl.SSLContext:
    """Give a context that accepts any certificate: it only finds out whether there is one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
