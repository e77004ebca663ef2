/**
 * @file Two hosts on one machine: network namespaces with names and addresses of their own and a cable between them, so that
 * ranks can only talk over TCP. Needs the rights to make them (`ip netns`).
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { Launcher } from './ranks.ts';
import { temporaryFolder } from './temporary-folder.ts';

const ADDRESSES = ['10.77.0.1', '10.77.0.2'] as const;
const NAMES = ['a', 'b'].map((end) => `acdit-${process.pid}-${end}`) as [string, string];

const ip = (...args: string[]): void => void execFileSync('ip', args, { stdio: 'ignore' });

/** Whether two hosts can be made here; a warning says so if not. */
export function canMakeHosts(): boolean {
  const name = `${NAMES[0]}-try`;
  const made = spawnSync('ip', ['netns', 'add', name], { stdio: 'ignore' }).status === 0;
  const works = made && spawnSync('ip', ['netns', 'exec', name, 'unshare', '--uts', 'true']).status === 0;
  if (made) spawnSync('ip', ['netns', 'del', name]);
  if (!works) console.warn('network namespaces cannot be made: tests with two hosts are SKIPPED');
  return works;
}

/** Makes the hosts, until the test has ended. */
export function makeHosts() {
  const [a, b] = NAMES;
  for (const name of NAMES) {
    onTestFinished(() => {
      endAll(name);
      spawnSync('ip', ['netns', 'del', name]);
    });
    ip('netns', 'add', name);
    ip('-n', name, 'link', 'set', 'lo', 'up');
  }
  ip('link', 'add', 'cable', 'netns', a, 'type', 'veth', 'peer', 'name', 'cable', 'netns', b);
  for (const [i, name] of NAMES.entries()) {
    ip('-n', name, 'addr', 'add', `${ADDRESSES[i]}/24`, 'dev', 'cable');
    ip('-n', name, 'link', 'set', 'cable', 'up');
  }
  NAMES.forEach(waitForCable);
  const agent = join(temporaryFolder(), 'agent.sh');
  const choose = `case $host in ${ADDRESSES[0]}) name=${a};; *) name=${b};; esac`;
  const run = 'exec ip netns exec "$name" unshare --uts sh -c "hostname $name; exec $*"';
  writeFileSync(
    agent,
    `#!/bin/sh\n# Does what ssh would: agent HOST COMMAND\nhost=$1; shift\n${choose}\n${run}\n`,
  );
  chmodSync(agent, 0o755);
  return {
    names: NAMES,
    /** Ends all processes of both hosts. */
    end: () => NAMES.forEach(endAll),
    /** Cuts the cable. */
    cut: () => ip('-n', b, 'link', 'set', 'cable', 'down'),
    /** A launcher that starts the first rank on the first host, and the second one on the second. */
    across: ({ name, command }: Launcher): Launcher => ({
      name,
      command: agent,
      args: [ADDRESSES[0], command, ...acrossArgs(name, agent)],
    }),
  };
}

/** The system reports that a cable works up to a second later; until then, MPICH finds the other host unreachable. */
function waitForCable(name: string): void {
  for (let turn = 0; turn < 100; turn++) {
    const { stdout } = spawnSync('ip', ['-n', name, '-brief', 'link', 'show', 'cable'], { encoding: 'utf8' });
    if (/\bUP\b.*LOWER_UP/.test(stdout)) return;
    spawnSync('sleep', ['0.05']);
  }
  throw new Error(`the cable of ${name} does not come up`);
}

function endAll(name: string): void {
  const { stdout = '' } = spawnSync('ip', ['netns', 'pids', name], { encoding: 'utf8' });
  for (const pid of stdout.split('\n').filter(Boolean)) spawnSync('kill', ['-9', pid]);
}

function acrossArgs(name: string, agent: string): string[] {
  const [first, second] = ADDRESSES;
  if (name === 'MPICH') return ['-hosts', `${first},${second}`, '-launcher', 'rsh', '-launcher-exec', agent];
  const settings = { plm_rsh_agent: agent, pml: 'ob1', btl: 'tcp,self', btl_tcp_if_include: 'cable' };
  const more = { oob_tcp_if_include: 'cable' };
  const given = Object.entries({ ...settings, ...more }).flatMap(([key, value]) => ['--mca', key, value]);
  return ['--host', `${first}:1,${second}:1`, ...given];
}
