from tests.service import SAMPLE, Service, report


def test_sample_report_gives_the_documented_envelope(service: Service) -> None:
    answer = service.post({**SAMPLE, "host": {**SAMPLE["host"], "host_name": "first"}})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["success"], body["resultCode"], body["resultMessage"]) == (True, "0", "container_count: 2")
    assert body["data"].keys() == {"host_id", "containers_count", "timestamp"}


def test_posted_twice_is_one_host_and_each_container_once(fresh: Service) -> None:
    for cpu in (3.9, 4.9):
        fresh.post(report("host", "web", "db", cpu_percentage=cpu))
    assert [host["cpu_percentage"] for host in fresh.data("/api/hosts")] == [4.9]
    assert [one["container_name"] for one in fresh.data("/api/containers")] == ["db", "web"]
    assert fresh.sql("SELECT COUNT(*) FROM containers") == [(4,)]
