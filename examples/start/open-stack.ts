export interface OpenedStack<Stack> {
  readonly supabase: Stack;
  /** Said to the user when it is not where it usually is. */
  readonly note: string | undefined;
}

const usualPort = 54_321;
const tries = 20;

/** Opens on the port that was asked for, else on the usual one or the first free one after it. */
export async function openStack<Stack>(
  { port }: { readonly port: number | undefined },
  open: (port: number) => Promise<Stack>,
): Promise<OpenedStack<Stack>> {
  if (port !== undefined) return { supabase: await open(port), note: undefined };
  for (let at = usualPort; ; at++) {
    try {
      const supabase = await open(at);
      const note = at === usualPort ? undefined : `Port ${usualPort} is taken; this one listens on ${at}.`;
      return { supabase, note };
    } catch (error) {
      if (!isPortTaken(error) || at === usualPort + tries) throw error;
    }
  }
}

function isPortTaken(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "port-taken";
}
