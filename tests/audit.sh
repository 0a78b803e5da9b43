#!/bin/sh
# What `make audit` does with requirements.lock, by the programs of the folder $1. It fails too if somebody could not be asked.
set -u
bin=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export UV_PYTHON="$bin/python" UV_PYTHON_DOWNLOADS=never
result=0

failed() {
    echo "== FAILED: $1" >&2
    result=1
}

# Wheels only: a wheel with another hash would silently be made anew of the sources.
echo '== installs, each file with a hash of the lock'
"$bin/uv" venv -q "$work/server" \
    && "$bin/uv" pip sync -q --only-binary :all: --require-hashes --python "$work/server" requirements.lock \
    || { failed 'the lock cannot be installed, so that nothing was audited'; exit 1; }

echo '== licences: those that pyproject.toml allows'
"$bin/pip-licenses" --python "$work/server/bin/python" || failed 'a licence that pyproject.toml does not allow'

echo '== CycloneDX list of what is installed: sbom.json'
"$bin/uv" tool run -q --from 'cyclonedx-bom>=7.5,<8' cyclonedx-py environment "$work/server" -o sbom.json \
    || failed 'sbom.json was not written'

echo '== known vulnerabilities'
"$bin/uv" tool run -q --from 'pip-audit>=2.10,<3' \
    pip-audit --progress-spinner off --disable-pip --require-hashes -r requirements.lock >"$work/found" 2>"$work/said" \
    || failed 'pip-audit found something, or could not ask'
cat "$work/found"
tail -n 3 "$work/said" >&2
# It ends well also when the index knows a package, but does not tell its vulnerabilities.
! grep -q 'could not be audited' "$work/found" || failed 'of the packages above with a skip reason nothing could be asked'
exit $result
