/** @file An image, or the frames of a video, on a canvas. */

import { useEffect, useRef, useState } from 'preact/hooks';
import { drawFrame, type Frame } from '../model/frame.ts';

/** Frames per second of videos on the page. */
export const FPS = 8;

interface FrameCanvasProps {
  readonly frames: readonly Frame[];
  /** What it shows, in words. */
  readonly label: string;
  /** Whether a video plays; otherwise its first frame is shown. */
  readonly playing?: boolean;
  readonly class?: string;
}

export function FrameCanvas({ frames, label, playing = false, class: className = '' }: FrameCanvasProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const frame = useFrame(frames.length, playing);
  useEffect(() => {
    const shown = frames[Math.min(frame, frames.length - 1)];
    if (canvas.current && shown) drawFrame(canvas.current, shown);
  }, [frames, frame]);
  // Without words it is decoration.
  const words = label === '' ? { 'aria-hidden': true } : { role: 'img' as const, 'aria-label': label };
  return <canvas ref={canvas} class={`frames ${className}`} {...words} width={1} height={1} />;
}

/** The number of the frame to show. Nothing moves for users who prefer reduced motion. */
function useFrame(count: number, playing: boolean): number {
  const [frame, setFrame] = useState(0);
  useEffect(() => {
    const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
    if (!playing || count < 2 || still) return;
    const timer = setInterval(() => setFrame((now) => (now + 1) % count), 1000 / FPS);
    return () => clearInterval(timer);
  }, [count, playing]);
  return playing ? frame : 0;
}
