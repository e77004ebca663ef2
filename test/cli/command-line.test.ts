import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { runInProcess, spawnCli, startCli } from '../support/cli.ts';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));

describe('acdit', () => {
  it('lists its commands', async () => {
    const { code, stdout, stderr } = await spawnCli(['--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const name of ['sample', 'train', 'verify', 'info']) expect(stdout).toContain(name);
    expect((await runInProcess([])).stdout).toBe(stdout);
  });

  it('says its version', async () => {
    expect(await spawnCli(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  });

  it.each(['sample', 'train', 'verify', 'info'])('%s explains its flags', async (name) => {
    const { code, stdout } = await runInProcess([name, '--help']);
    expect(code).toBe(0);
    expect(stdout).toContain(`acdit ${name}`);
    expect(stdout).toContain('--json');
    expect((await runInProcess(['help', name])).stdout).toBe(stdout);
  });

  it.each([
    'sample',
    'train',
    'tune',
    'encode',
    'convert',
    'verify',
    'evaluate',
    'serve',
    'info',
    'completion',
  ])('the help of %s has at most 100 columns, --quiet, and examples at its end', async (name) => {
    const { stdout } = await runInProcess([name, '--help']);
    const lines = stdout.trimEnd().split('\n');
    expect(lines.filter((line) => line.length > 100)).toEqual([]);
    expect(stdout).toContain('--quiet');
    const examples = lines.slice(lines.indexOf('Examples:') + 1);
    expect(examples.length).toBeGreaterThan(0);
    expect(examples.filter((line) => !line.includes(`acdit ${name}`))).toEqual([]);
  });

  it.skipIf(process.platform === 'win32')('completion makes a script that completes in bash', async () => {
    const { code, stdout } = await runInProcess(['completion', 'bash']);
    expect(code).toBe(0);
    const complete = (...words: string[]): string[] => {
      const line = words.map((word) => `'${word}'`).join(' ');
      const script = `${stdout}\nCOMP_WORDS=(${line}); COMP_CWORD=${words.length - 1}; _acdit; printf '%s\\n' "\${COMPREPLY[@]}"`;
      return spawnSync('bash', ['-c', script], { encoding: 'utf8' }).stdout.trim().split('\n');
    };
    expect(complete('acdit', 'sa')).toEqual(['sample']);
    expect(complete('acdit', 'sample', '--la')).toEqual(['--labels', '--latents']);
    expect(complete('acdit', 'info', 'package.j')).toEqual(['package.json']);
    for (const shell of ['zsh', 'fish']) {
      expect((await runInProcess(['completion', shell])).stdout).toContain('labels');
    }
    const { code: bad, stderr } = await runInProcess(['completion', 'csh']);
    expect([bad, stderr]).toEqual([2, "acdit: completion needs a shell: bash, zsh, fish, got 'csh'\n"]);
  });

  it('exits 2 with one line for an unknown command, naming the nearest', async () => {
    const { code, stdout, stderr } = await spawnCli(['smaple']);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^acdit: unknown command 'smaple'; did you mean sample\?.*\n$/);
  });

  it.each([
    [['sample', '--stepz', '3'], 'unknown flag --stepz; did you mean --steps?'],
    [['sample', '--loud'], 'unknown flag --loud; --help lists the flags'],
    [['sample', '-q'], 'unknown flag -q'],
    [['sample', '--steps'], '--steps needs a value'],
    [['sample', '--steps', '--json'], '--steps needs a value'],
    [['info', '--json=yes'], '--json takes no value'],
    [['info', 'a', 'b'], "unexpected argument 'b'"],
    [['--steps', '3'], 'expected a command before --steps'],
    [['toString'], "unknown command 'toString'"],
  ])('%j is bad input', async (args, message) => {
    const { code, stderr } = await runInProcess(args);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  });

  it('adds the stack with --verbose', async () => {
    const { code, stderr } = await runInProcess(['info', 'no-such-model', '--verbose']);
    expect(code).toBe(2);
    expect(stderr).toContain('no-such-model: no such model');
    expect(stderr).toMatch(/\n {4}at /);
  });

  it('is quiet when nobody reads on', async () => {
    const { child, result } = startCli(['info', '--size', 'XL', '--plan', '--json']);
    child.stdout.destroy();
    const { stderr } = await result;
    expect(stderr).toBe('');
  });
});
