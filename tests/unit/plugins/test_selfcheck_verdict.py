"""What the selfcheck calls different is different, and what it overlooks is what differs from run to run."""

from __future__ import annotations

import pytest

from tests.support import collection

verdict = collection.load('plugins.filter.selfcheck_verdict').verdict


def seen(result, way='', seconds=1.0, **more):
    return {'result': result, 'way': way, 'seconds': seconds, **more}


def compare(stock, ours):
    return verdict([seen(stock, 'turned off', 2.0)], [seen(ours)])


def test_equal():
    found = compare({'rc': 0, 'stdout': 'a'}, {'rc': 0, 'stdout': 'a'})
    assert found['same'] and found['accelerated'] and found['ratio'] == 2
    assert 'all 1 results equal' in found['text']


@pytest.mark.parametrize('stock, ours', [
    ({'rc': 0}, {'rc': 1}),
    ({'rc': 0}, {'rc': '0'}),
    ({'changed': True}, {'changed': 1}),
    ({'rc': 0}, {}),
    ({}, {'rc': 0}),
    ({'files': [1, 2]}, {'files': [1]}),
    ({'stat': {'mode': '0644'}}, {'stat': {'mode': '0640'}}),
    ({'msg': ''}, {'msg': None}),
])
def test_different(stock, ours):
    found = compare(stock, ours)
    assert not found['same'] and len(found['differences']) == 1 and 'RESULTS DIFFER' in found['text']


@pytest.mark.parametrize('stock, ours', [
    ({'delta': '0:01'}, {'delta': '0:02'}),
    ({'stat': {'mtime': 1.5}}, {'stat': {'mtime': 2.5}}),
    ({'src': '/x/ansible-tmp-1.5-2-3/.source'}, {'src': '/x/ansible-tmp-9.75-8-7/.source'}),
    ({'stderr': 'Shared connection to 192.0.2.1 closed.\r\n'}, {'stderr': ''}),
])
def test_from_run_to_run(stock, ours):
    assert compare(stock, ours)['same']


def test_says_why_not():
    found = verdict([seen({}, 'turned off')], [seen({}, 'without python')])
    assert not found['accelerated'] and found['same']
    assert 'not accelerated: no usable Python' in found['text']


def test_stock_must_be_stock():
    assert not verdict([seen({}, '')], [seen({}, '')])['same']


def test_common_failures_are_told():
    bad = {'failed': True, 'msg': 'no such thing'}
    items = [seen(bad, item={'name': 'one'}), seen(bad, item={'name': 'two', 'fails': True})]
    text = verdict([dict(item, way='turned off') for item in items], items)['text']
    assert '1 of 2 tasks failed both ways, first one (no such thing)' in text
