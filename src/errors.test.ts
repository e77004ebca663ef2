import { expect, test } from 'vitest';
import { ConfigError, MAX_MESSAGE_LENGTH } from './errors.ts';

test('a message is bounded however much it quotes, and keeps its beginning and its end', () => {
  const { message } = new ConfigError(`shape [${'1,'.repeat(100_000)}] is too long; use a shorter one`);
  expect(message.length).toBeLessThanOrEqual(MAX_MESSAGE_LENGTH);
  expect(message).toMatch(/^shape \[1,1,.* \.\.\. .*; use a shorter one$/);
});

test('an error without a message has none', () => {
  expect(new ConfigError().message).toBe('');
});
