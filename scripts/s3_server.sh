#!/usr/bin/env bash
# Installs the server that the tests of tier `s3` talk to, in an environment of its own: its botocore is another one.
#
#     scripts/s3_server.sh FOLDER    # then: export MIXER_S3_SERVER=FOLDER/bin/moto_server
set -euo pipefail
folder=$1
[ -x "$folder/bin/moto_server" ] && exit
"${PYTHON:-python3}" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check 'moto[s3]==5.2.5' flask flask-cors
