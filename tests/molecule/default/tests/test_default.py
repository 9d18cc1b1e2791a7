import pytest

testinfra_hosts = ["ansible://t1", "ansible://t2"]


@pytest.fixture
def name(host):
    return host.ansible.get_variables()["inventory_hostname"]


@pytest.fixture
def folder(name):
    return f"/tmp/mitosis-molecule-{name}"


def test_folder_has_owner_and_mode(host, folder):
    variables = host.ansible.get_variables()
    owner = "m_target" if variables["mitosis_hosts_mode"] == "netns" else variables["ansible_user"]
    made = host.file(folder)
    assert made.is_directory
    assert made.user == owner
    assert made.mode == 0o751


def test_file_has_content_and_mode(host, folder, name):
    made = host.file(f"{folder}/hello")
    assert made.content_string == f"hello from {name}\n"
    assert made.mode == 0o640


def test_template_is_filled_in(host, folder, name):
    made = host.file(f"{folder}/report")
    assert made.content_string == f"host: {name}\nsystem: Linux\nline 0\nline 1\nline 2\n"
    assert made.mode == 0o444


def test_command_ran_on_its_own_host(host, folder, name):
    assert host.file(f"{folder}/once").content_string == f"{name} ran"


def test_link_leads_to_the_file(host, folder):
    assert host.file(f"{folder}/link").linked_to == f"{folder}/hello"


def test_nothing_else_is_left_in_the_folder(host, folder):
    assert host.check_output(f"ls {folder}").split() == ["hello", "link", "once", "report"]
