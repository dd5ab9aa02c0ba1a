#!/bin/sh
# Makes clinics of the neighbourhoods in a file of appointments in Vitória, Brazil, and imports the appointments.
#
#   tests/vitoria/prepare.sh FILE.csv [REPORT.csv]
#
# The file is that of "Medical Appointment No Shows" (Kaggle, CC BY-NC-SA 4.0): PATIENTID, APPOINTMENTID, GENDER,
# APPOINTMENTDAY, NEIGHBOURHOOD and others. Running it again changes nothing. BOOKCLI names the program to use.
# Exit code 0, or 6 when some rows were refused; their reasons are in the report.
set -eu

file=$1
report=${2:-vitoria.report.csv}
here=$(dirname "$0")
reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT
bookcli() { ${BOOKCLI:-bookcli} "$@"; }

bookcli import sites "$file" --mapping "$here/sites.toml" --report "$reports/sites.csv"
bookcli import tests "$here/tests.csv" --report "$reports/tests.csv"
bookcli import resources "$file" --mapping "$here/resources.toml" --report "$reports/resources.csv"
bookcli import schedules "$file" --mapping "$here/hours.toml" --report "$reports/hours.csv"
bookcli import schedules "$file" --mapping "$here/saturday.toml" --report "$reports/saturday.csv"
bookcli schedule publish --from 2016-04-25 --to 2016-06-10
bookcli import appointments "$file" --mapping "$here/appointments.toml" --report "$report" --history --create-patients
