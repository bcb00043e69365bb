#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The simulator can fail: breaks the core in named ways and must notice.

Each mutation replaces a piece of text of a source file, some do in two. The
simulator is built with these in the place of the right ones and runs seed after seed
until it fails. What survives them must fall in one of the arranged scenarios
of test_sim. What survives those, too, is a hole in the checks, and so is a
text that is no longer there: both end with status 1. Production code knows
nothing of this.

Usage: mutate.py [--cc CC] [--seeds N] [--steps N] [--jobs N] [--only REGEX]
"""
import argparse
import concurrent.futures
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
FLAGS = ['-std=gnu11', '-O2', '-g', '-D_GNU_SOURCE', '-DFAL_SLOW_ASSERTS=1',
         '-w', '-I' + ROOT, '-I' + HERE]

# name, file, right text, wrong text; or name, list of these three
MUTATIONS = [
    ('ack_before_durable', 'consensus/zab_apply.c',
     'int64_t zxid = core->durable_zxid;',
     'int64_t zxid = core->history.last_zxid;'),
    ('leader_counts_itself_before_its_disk', 'consensus/zab_lead.c',
     'zab_acks_propose(&lead->acks, last);',
     'zab_acks_propose(&lead->acks, last);'
     '(void)zab_acks_note(&lead->acks, &core->pair, zab_own_seat(core),'
     ' last);'),
    ('commit_with_a_minority', 'consensus/zab_acks.c',
     'quorum_has(quorum, holders_of(quorum, acked, candidate)))',
     'holders_of(quorum, acked, candidate) != 0)'),
    ('epoch_promised_by_a_minority', 'consensus/zab_lead.c',
     'quorum_pair_has(&core->pair, lead->epoch_acks))',
     'lead->epoch_acks.active != 0)'),
    ('epoch_taken_before_the_own_promise', 'consensus/zab_lead.c',
     'if (core->accepted_epoch == lead->epoch &&\n'
     '\t\t    quorum_pair_has(&core->pair, lead->epoch_acks))',
     'if (quorum_pair_has(&core->pair, lead->epoch_acks))'),
    ('established_with_a_minority', 'consensus/zab_lead.c',
     'quorum_pair_has(&core->pair, lead->newleader_acks))',
     'lead->newleader_acks.active != 0)'),
    ('established_before_the_own_current_epoch', 'consensus/zab_lead.c',
     'if (core->current_epoch == lead->epoch &&\n'
     '\t\t    quorum_pair_has(&core->pair, lead->newleader_acks))',
     'if (quorum_pair_has(&core->pair, lead->newleader_acks))'),
    ('epoch_of_before', 'consensus/zab_lead.c',
     'lead->epoch = lead->highest_accepted + 1;',
     'lead->epoch = core->current_epoch + 1;'),
    ('history_committed_before_its_quorum', 'consensus/zab_lead.c',
     'zab_learners_sync(core, out);\n}',
     'zab_publish(core, lead->base_zxid, out);\n'
     '\tzab_learners_sync(core, out);\n}'),
    ('proposals_before_established', 'consensus/zab_lead.c',
     'quorum_pair_has(&core->pair, lead->newleader_acks))',
     'lead->step == ZAB_LEAD_SYNC)'),
    ('older_epoch_accepted', 'consensus/zab_follow.c',
     'if (epoch < core->accepted_epoch) {',
     'if (epoch < 0) {'),
    ('promise_given_twice', 'consensus/zab_follow.c',
     'follow->reply_epoch = -1;',
     'follow->reply_epoch = core->current_epoch;'),
    ('promise_before_durable', 'consensus/zab_follow.c',
     'zab_persist_accepted(core, epoch, out);',
     'zab_persist_accepted(core, epoch, out);'
     'core->accepted_epoch = epoch; send_ack_epoch(core, out);'),
    ('current_epoch_before_history', 'consensus/zab_follow.c',
     'if (follow->step != ZAB_FOLLOW_FLUSH || core->config_writing != 0 ||\n'
     '\t    core->durable_zxid != core->history.last_zxid)',
     'if (follow->step != ZAB_FOLLOW_FLUSH || core->config_writing != 0)'),
    ('newleader_before_current_epoch', 'consensus/zab_follow.c',
     'follow->step = ZAB_FOLLOW_CURRENT;\n'
     '\tzab_persist_current(core, follow->epoch, out);',
     'zab_persist_current(core, follow->epoch, out);\n'
     '\tcore->current_epoch = follow->epoch; become_ready(core, out);'),
    ('vote_for_what_is_not_durable', 'consensus/zab.c',
     'core->current_writing == 0 && core->config_writing == 0 &&\n'
     '\t       core->durable_zxid == core->history.last_zxid;',
     'core->current_writing == 0 && core->config_writing == 0;'),
    ('leader_ignores_who_is_ahead', 'consensus/zab_learners.c',
     'if (epoch == -1)\n\t\treturn false;',
     'return false;'),
    ('votes_by_zxid_only', 'consensus/fle_votes.c',
     'if (a->peer_epoch != b->peer_epoch)\n'
     '\t\treturn a->peer_epoch > b->peer_epoch;', ''),
    ('votes_by_sid_only', 'consensus/fle_votes.c',
     'if (a->zxid != b->zxid)\n\t\treturn a->zxid > b->zxid;', ''),
    ('candidates_are_tried_in_a_circle', 'consensus/fle_shun.c',
     'fle->grudge[i].until_ms += now_ms - began_ms;', ';'),
    ('diff_from_the_wrong_zxid', 'consensus/zab_sync.c',
     'if (learner_zxid <= to && zab_history_has(history, learner_zxid))\n'
     '\t\treturn plan_diff(history, learner_zxid, to);',
     'if (learner_zxid <= to)\n\t\treturn (struct zab_sync_plan)'
     '{ZAB_SYNC_DIFF, to, zab_history_last_of(history, '
     'zab_epoch(learner_zxid)), to};'),
    ('no_trunc_for_a_tail', 'consensus/zab_sync.c',
     'return plan_trunc(history, last, to);',
     'return plan_diff(history, last, to);'),
    ('trunc_leaves_the_log', 'tests/sim/sim_disk.c',
     'sim_log_cut(&disk->log, sim_log_count_to(&disk->log, zxid));\n'
     '\tdisk->durable_count', '\tdisk->durable_count'),
    ('trunc_leaves_a_newer_snapshot', [
        ('tests/sim/sim_disk.c',
         'while (disk->snapshot_count > 0 && disk->snapshot[0].zxid > zxid) {',
         'while (false) {'),
        ('tests/sim/sim_driver.c',
         'server->next_snapshot.zxid = server->published_zxid;\n'
         '\tserver->next_snapshot.node = server->published_node;',
         'server->next_snapshot.zxid = sim_log_last(&server->log);\n'
         '\tserver->next_snapshot.node ='
         ' sim_log_node(&server->log, server->log.count);')]),
    ('acks_outlive_their_connection', 'consensus/zab_acks.c',
     'acks->active[seat.active] = 0;',
     'acks->active[seat.active] += 0;'),
    ('emptied_disk_votes', 'consensus/zab.c',
     'return core->is_nonvoting || core->now_ms < core->abstain_until_ms;',
     'return core->now_ms < core->abstain_until_ms;'),
    ('emptied_disk_promises', 'consensus/zab_learners.c',
     'if (event->zxid < 0) {', 'if (false) {'),
    ('emptied_disk_is_taken_for_a_new_one', [
        ('tests/sim/sim_disk.c',
         'sim_disk_init(disk);\n\tdisk->is_nonvoting = true;',
         'sim_disk_init(disk);'),
        ('tests/sim/sim_fault.c',
         'server->disk.is_nonvoting =\n\t\t!sim->has_genesis ||',
         'server->disk.is_nonvoting =\n')]),
    ('damage_is_taken_for_a_torn_tail', 'tests/sim/sim_fault.c',
     'disk->durable_count = at;\n\tdisk->is_nonvoting = true;',
     'disk->durable_count = at;'),
    ('emptied_disk_counts_at_once', 'consensus/zab_learners.c',
     'if (core->lead.round_done < learner->confirm_round)\n'
     '\t\treturn false;', ''),
    ('leader_without_a_quorum_stays', 'consensus/zab_lead.c',
     'if (quorum_pair_has(&core->pair, votes_heard(core)))', 'if (true)'),
    ('sync_before_the_commit', 'consensus/zab_syncs.c',
     'syncs->run[runs].zxid <= lead->acks.committed_zxid &&\n\t', ''),
    ('sync_without_proof_of_leadership', 'consensus/zab_syncs.c',
     '&&\n\t       syncs->run[runs].round <= lead->round_done)', ')'),
    ('same_counter_again', 'consensus/zab.c',
     'return zab_epoch(zxid) == epoch ? zxid + 1 : zab_zxid(epoch, 1);',
     'return zxid + 1;'),
    ('proposal_gap_accepted', 'consensus/zab_apply.c',
     '!zab_follows(tail, event->zxid))', 'event->zxid <= tail)'),
    ('commit_out_of_order_accepted', 'consensus/zab_apply.c',
     'if (zxid != next_logged(core, core->committed_zxid)) {',
     'if (zxid > core->history.last_zxid) {'),
    ('trunc_below_a_newer_snapshot', 'consensus/zab_follow.c',
     'if (!zab_history_has(&core->history, zxid)) {', 'if (false) {'),
    ('reconfig_counts_only_the_new_quorum', 'consensus/zab_acks.c',
     'if (!pair->has_next || mark < acks->next_zxid || mark == old)\n'
     '\t\treturn mark;',
     'if (pair->has_next)\n'
     '\t\treturn quorum_mark(&pair->next, acks->next, old);\n'
     '\tif (true)\n\t\treturn mark;'),
    ('reconfig_counts_only_the_old_quorum', 'consensus/zab_acks.c',
     'if (!pair->has_next || mark < acks->next_zxid || mark == old)',
     'if (true)'),
    ('lost_configuration_stays_on_the_disk', [
        ('consensus/zab_reconfig.c',
         'if (version > history->last_zxid ||\n'
         '\t    (version > history->floor_zxid && zab_counter(version) != 0 &&\n'
         '\t     !zab_history_has(history, version)))\n\t\tlose_next(core, out);',
         'if (version > history->last_zxid)\n\t\tforget_next(core);')]),
    ('newleader_activates_what_is_proposed', 'consensus/zab_reconfig.c',
     '(core->pair.next.version == core->follow.config_version ||\n'
     '\t     (core->pair.next.version < zxid &&\n'
     '\t      core->pair.next.version <= core->history.last_zxid))) {',
     'false) {'),
    ('election_counts_only_the_old_quorum', 'consensus/quorum.c',
     '(!pair->has_next || quorum_has(&pair->next, votes.next))', 'true'),
    ('configuration_of_the_log_is_forgotten', 'consensus/zab.c',
     'if (!next || next->version <= pair->active.version ||',
     'if (true || next->version <= pair->active.version ||'),
    ('reconfig_relies_on_observers_to_be', 'consensus/zab_reconfig.c',
     '(index < 0 || active->member[index].is_voter)', 'true'),
    ('half_a_group_is_enough', 'consensus/quorum.c',
     'present[g] > total[g] / 2', 'present[g] >= total[g] / 2'),
    ('half_of_the_voters_is_enough', 'consensus/quorum.c',
     '__builtin_popcount(quorum->voters) / 2;',
     '(__builtin_popcount(quorum->voters) - 1) / 2;'),
    ('rollover_not_seen', 'consensus/zab_lead.c',
     'if (zab_counter(last) == zab_counter_max(core))',
     'if (false)'),
    ('not_ahead_by_zxid', 'consensus/zab_learners.c',
     'return zxid > lead->base_zxid;', 'return false;'),
    ('emptied_disk_votes_though_it_exists', 'consensus/genesis.c',
     'tell_outcome(genesis, GENESIS_JOINS, from, out);',
     'tell_outcome(genesis, GENESIS_FOUNDS, from, out);'),
    ('members_do_not_say_that_it_exists', 'consensus/genesis.c',
     'send(genesis, from, GENESIS_EXISTS, 0,',
     'if (false)\n\t\tsend(genesis, from, GENESIS_EXISTS, 0,'),
    ('founded_by_a_minority', 'consensus/genesis.c',
     'return quorum_has(&genesis->voters, who);', 'return who != 0;'),
    ('that_it_began_empty_is_forgotten', 'consensus/genesis.c',
     'genesis->has_data && genesis->state.began != GENESIS_EMPTY)) {',
     'genesis->has_data)) {'),
    ('accepts_what_it_did_not_promise', 'consensus/genesis.c',
     'message->ballot != genesis->state.promised ||', 'false ||'),
    # Sessions: the table of the servers, and the driver that stands around it.
    ('session_expired_by_a_non_leader', 'tests/sim/sim_session.c',
     'server->view.role != FLE_LEADING ||\n\t    server->paused_until_us',
     'server->paused_until_us'),
    ('touches_are_dropped', 'tests/sim/sim_session.c',
     'ping->touch[i] = server->touched[i];', 'ping->touch[i] = 0;'),
    ('own_clients_are_not_asked', 'znode/session.c',
     'heard == NULL ? 0 : heard(arg, session);', '0;'),
    ('deadlines_are_not_renewed', 'znode/session.c',
     '\tsession->heard_ms = restart->now_ms;\n', ''),
    ('a_close_outlives_its_leader', 'znode/session.c',
     '\tsession->is_closing = false;\n', ''),
    ('expired_a_tick_early', 'znode/session.c',
     'return (end / table->tick_ms + 1) * table->tick_ms;',
     'return end / table->tick_ms * table->tick_ms;'),
    ('closing_sessions_write', 'znode/session.c',
     'if (session->is_closing)\n\t\treturn ZK_SESSIONEXPIRED;', ''),
    ('sessions_that_moved_write', 'znode/session.c',
     'return ZK_SESSIONMOVED;', 'return ZK_OK;'),
    ('ephemerals_under_way_stay', 'tests/sim/sim_session.c',
     'for (; node != server->published_node;',
     'for (; false && node != server->published_node;'),
    ('who_moves_leaves_a_connection', 'tests/sim/sim_session.c',
     'if (owner.core == OWNER_LEARNER)\n\t\tsim_holder_hang_up(',
     'if (false)\n\t\tsim_holder_hang_up('),
    ('closing_sessions_move', 'tests/sim/sim_session.c',
     'session != NULL && !session->is_closing;', 'session != NULL;'),
]


# What needs more seeds than a short search has: it begins at one that notices.
RARE = {'lost_configuration_stays_on_the_disk': 8663}


def run(command, **more):
    return subprocess.run(command, capture_output=True, text=True, **more)


def sources():
    for folder in ('tests/sim', 'consensus'):
        for name in sorted(os.listdir(os.path.join(ROOT, folder))):
            if name.endswith('.c'):
                yield folder + '/' + name
    yield 'znode/session.c'
    yield 'base/fal.c'


def compile_one(cc, source, path, out):
    result = run(cc + FLAGS + ['-iquote', os.path.dirname(
        os.path.join(ROOT, source)), '-c', path, '-o', out])
    if result.returncode != 0:
        sys.exit(f'{source}: {result.stderr}')


def build_right(cc, folder):
    objects = {}
    for source in sources():
        objects[source] = os.path.join(folder, source.replace('/', '_') + '.o')
        compile_one(cc, source, os.path.join(ROOT, source), objects[source])
    return objects


def link(cc, program, objects, without):
    linked = run(cc + ['-o', program] + [
        path for source, path in objects.items()
        if not source.startswith(without)] +
                 ['-lcmocka'])
    if linked.returncode != 0:
        sys.exit(linked.stderr)


def changes_of(mutation):
    return mutation[1] if len(mutation) == 2 else [mutation[1:]]


def build_wrong(cc, folder, objects, mutation):
    """Returns the simulator and its test with the mutation, or None."""
    name = mutation[0]
    program = os.path.join(folder, name)
    mutated = dict(objects)
    for source, right, wrong in changes_of(mutation):
        with open(os.path.join(ROOT, source), encoding='utf-8') as file:
            text = file.read()
        if text.count(right) != 1:
            return None
        path = os.path.join(
            folder, name + '_' + source.replace('/', '_'))
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text.replace(right, wrong))
        compile_one(cc, source, path, path + '.o')
        mutated[source] = path + '.o'
    link(cc, program, mutated, 'tests/sim/test_')
    link(cc, program + '.test', mutated, 'tests/sim/sim_main.c')
    return program


def judge(cc, folder, objects, mutation, options):
    """Returns (is caught, sentence)."""
    name = mutation[0]
    program = build_wrong(cc, folder, objects, mutation)
    if program is None:
        files = ', '.join(change[0] for change in changes_of(mutation))
        return False, f'{name}: {files} does not hold the text once'
    result = run([program, '--seed', str(first_seed(name, options)),
                  '--seeds', str(options.seeds),
                  '--steps', str(options.steps)])
    last = result.stderr.strip().split('\n')[-1]
    found = re.match(r'sim: seed (\d+) .*? ms: (.*)', last)
    if result.returncode == 1 and found:
        what = found[2]
        if what.startswith('assert'):
            lines = [text for text in result.stderr.split('\n')
                     if 'bug at' in text]
            what = 'assert' + (lines[0].split(':', 2)[2] if lines else '')
        return True, f'{name}: caught by seed {found[1]}: {what}'
    if result.returncode != 0:
        return False, f'{name}: status {result.returncode}: {last}'
    result = run([program + '.test'])
    if result.returncode != 0:
        said = result.stdout + result.stderr
        # An assert of the core ends the program inside of its scenario.
        names = re.findall(r'FAILED +\] (\w+)', said) or re.findall(
            r'RUN +\] (\w+)', said)
        where = names[-1] if names else last
        return True, f'{name}: caught by a scenario: {where}'
    return False, f'{name}: SURVIVES {options.seeds} seeds'


def first_seed(name, options):
    rare = RARE.get(name, 1)
    return rare if rare > options.seeds else 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--cc', default=os.environ.get('CC', 'cc'))
    parser.add_argument('--seeds', type=int, default=20000)
    parser.add_argument('--steps', type=int, default=4000)
    parser.add_argument('--jobs', type=int, default=2)
    parser.add_argument('--only', default='')
    options = parser.parse_args()
    cc = shlex.split(options.cc)
    folder = tempfile.mkdtemp(prefix='sim-mutations-')
    chosen = [m for m in MUTATIONS if re.search(options.only, m[0])]
    missed = 0
    try:
        objects = build_right(cc, folder)
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            for is_caught, text in pool.map(
                    lambda m: judge(cc, folder, objects, m, options), chosen):
                print(text, flush=True)
                missed += not is_caught
    finally:
        shutil.rmtree(folder)
    print(f'{len(chosen)} mutations, {missed} not caught')
    return 1 if missed or not chosen else 0


if __name__ == '__main__':
    sys.exit(main())
