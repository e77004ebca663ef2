/** @file Settings as a component's state, changed field by field. */

import { useState } from 'preact/hooks';
import type { Settings } from '../model/settings.ts';

export function useSettings(initial: () => Settings): [Settings, (changed: Partial<Settings>) => void] {
  const [settings, setSettings] = useState<Settings>(initial);
  return [settings, (changed) => setSettings((now) => ({ ...now, ...changed }))];
}
