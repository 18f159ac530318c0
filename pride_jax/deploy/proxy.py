"""The one door to the SuperLink from other machines: nginx, which lets nodes' requests through.

Flower serves nodes, control and applications at one port, and asks for no password for control. So
the SuperLink listens on this machine alone, and nginx, in front, passes on what begins with the
path of the nodes' service and nothing else.
"""

import shutil
from pathlib import Path

from pride_jax.deploy.certificates import AUTHORITY, CERTIFICATE, KEY
from pride_jax.deploy.enrolment import SECRETS
from pride_jax.deploy.processes import attended
from pride_jax.errors import RunError
from pride_jax.files import write_atomically

CONFIGURATION = "nginx.conf"
_FLEET = "/v1/fleet/"
_LARGEST_MEBIBYTES = 1024
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")

_TEXT = """\
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
  access_log off;
{temporary}
  client_max_body_size {largest}m;
  proxy_request_buffering off;
  server {{
    listen {port} ssl;
    ssl_certificate {folder}/{certificate};
    ssl_certificate_key {folder}/{key};
    ssl_protocols TLSv1.3;
    merge_slashes off;
    location / {{
      return 403;
    }}
    location {fleet} {{
      # As it came: what another server might take for another path is not a node's request.
      if ($request_uri !~ "^{fleet}[a-z-]+$") {{
        return 403;
      }}
      limit_except POST {{
        deny all;
      }}
      proxy_pass https://127.0.0.1:{link};
      proxy_ssl_trusted_certificate {folder}/{authority};
      proxy_ssl_verify on;
      proxy_ssl_name localhost;
      proxy_http_version 1.1;
      proxy_max_temp_file_size 0;
      proxy_read_timeout 600s;
      proxy_send_timeout 600s;
    }}
  }}
}}
"""


def write_configuration(folder: Path, port: int, link: int) -> Path:
    """Writes nginx's configuration, for the server's certificate and key.

    Args:
      folder: the server's own.
      port: at which nodes of other machines arrive.
      link: of the SuperLink, on this machine.

    Returns:
      The file.

    Raises:
      RunError: it cannot be written, or the folder's path has a character that nginx would take
        for its own.
    """
    resolved = str(folder.resolve())
    if any(letter in resolved for letter in " \t\n;{}\"'$\\#"):
        raise RunError(f"{resolved}: expected a path without blanks and quotes, for nginx")
    temporary = "\n".join(f"  {name}_temp_path {resolved}/nginx-{name};" for name in _TEMPORARY)
    text = _TEXT.format(
        folder=resolved,
        temporary=temporary,
        largest=_LARGEST_MEBIBYTES,
        port=port,
        link=link,
        fleet=_FLEET,
        certificate=CERTIFICATE,
        key=f"{SECRETS}/{KEY}",
        authority=AUTHORITY,
    )
    write_atomically(folder / CONFIGURATION, text)
    return folder / CONFIGURATION


def proxy_command(folder: Path, port: int, link: int) -> list[str]:
    """Starts nginx in front of the SuperLink.

    Raises:
      RunError: nginx is not installed, or its configuration cannot be written.
    """
    program = shutil.which("nginx")
    if program is None:
        raise RunError(
            "nginx is not installed: it is what lets nodes, and nobody else, reach the SuperLink; "
            "install your system's package of it"
        )
    configuration = write_configuration(folder, port, link)
    command = [program, "-e", "stderr", "-p", str(folder), "-c", str(configuration.resolve())]
    # A port that a killed server's proxy keeps would keep the server from beginning again.
    return attended("once", command)
