import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { ArgumentError } from '../errors.ts';
import { machine } from './machine.ts';
import { openCpu } from './node.ts';

const whole = { cores: availableParallelism(), memory: totalmem() };

/** What files as the kernel writes them (cgroups(7), and the kernel's cgroup-v2 and sched-bwc documents) amount to. */
function withFiles(files: Readonly<Record<string, string>>) {
  const root = temporaryFolder();
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), `${content}\n`);
  }
  return machine(root);
}

describe('machine', () => {
  it('is all of it without control groups, or without limits in them', () => {
    expect(withFiles({})).toEqual(whole);
    expect(
      withFiles({
        'proc/self/cgroup': '0::/a',
        'sys/fs/cgroup/a/cpu.max': 'max 100000',
        'sys/fs/cgroup/a/memory.max': 'max',
      }),
    ).toEqual(whole);
    expect(
      withFiles({
        'proc/self/cgroup': '4:memory:/\n3:cpu,cpuacct:/',
        'sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us': '-1',
        'sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us': '100000',
        'sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712',
      }),
    ).toEqual(whole);
  });

  it.each([
    ['a group of version 2', '0::/a/b', 'a/b/cpu.max', 'a/b/memory.max'],
    ['a group around it', '0::/a/b', 'a/cpu.max', 'a/memory.max'],
    ['a container with the path of its host', '0::/docker/1234', 'cpu.max', 'memory.max'],
    ['a container with a path of its own', '0::/', 'cpu.max', 'memory.max'],
    ['version 2 next to version 1', '1:name=systemd:/\n0::/a', 'unified/a/cpu.max', 'unified/a/memory.max'],
  ])('is the quota of %s', (_, cgroup, cpu, memory) => {
    const limits = withFiles({
      'proc/self/cgroup': cgroup,
      [`sys/fs/cgroup/${cpu}`]: '50000 100000',
      [`sys/fs/cgroup/${memory}`]: '104857600',
    });
    expect(limits).toEqual({ cores: 1, memory: 104857600 });
  });

  it.each([
    ['12:memory:/docker/1\n10:cpu,cpuacct:/docker/1', 'cpu,cpuacct/docker/1', 'memory/docker/1'],
    ['4:memory:/docker/1\n3:cpu,cpuacct:/docker/1', 'cpu', 'memory'],
    ['4:memory:/\n3:cpu:/', 'cpu', 'memory'],
  ])('is the quota of version 1: %j', (cgroup, cpu, memory) => {
    const limits = withFiles({
      'proc/self/cgroup': cgroup,
      [`sys/fs/cgroup/${cpu}/cpu.cfs_quota_us`]: '30000',
      [`sys/fs/cgroup/${cpu}/cpu.cfs_period_us`]: '100000',
      [`sys/fs/cgroup/${memory}/memory.limit_in_bytes`]: '536870912',
    });
    expect(limits).toEqual({ cores: 1, memory: 536870912 });
  });

  it('is the smallest of several quotas, and never more than there is', () => {
    const files = {
      'proc/self/cgroup': '0::/a/b',
      'sys/fs/cgroup/a/cpu.max': '100000 100000',
      'sys/fs/cgroup/a/b/cpu.max': `${1e9} 100000`,
      'sys/fs/cgroup/a/memory.max': '1000000',
      'sys/fs/cgroup/a/b/memory.max': '2000000',
    };
    expect(withFiles(files)).toEqual({ cores: 1, memory: 1000000 });
  });
});

describe('openCpu', () => {
  it('refuses more than 4 threads per core', async () => {
    const most = 4 * machine().cores;
    for (const threads of [most + 1, 99_999, 0, 1.5, Number.NaN]) {
      expect(() => openCpu({ threads })).toThrow(ArgumentError);
      expect(() => openCpu({ threads })).toThrow(`from 1 to ${most}`);
    }
    await openCpu({ threads: most }).dispose();
  });
});
