import { InterceptingCall, status, type Interceptor } from '@grpc/grpc-js';
import { currentWork } from '../../domain/model/current-work.js';
import { writeSpanContext } from '../../protocol/trace-context.js';

/**
 * Each call to a peer is a span of the work that makes it, and tells the peer so: its spans are
 * within this one.
 */
export const tracedCall: Interceptor = (options, nextCall) => {
  const name = options.method_definition.path.slice(1);
  const span = currentWork().span?.child(name, {
    kind: 'client',
    attributes: { 'rpc.system.name': 'grpc', 'rpc.method': name },
  });
  if (span === undefined) return new InterceptingCall(nextCall(options));
  return new InterceptingCall(nextCall(options), {
    start(metadata, _, next) {
      if (span.context !== undefined) writeSpanContext(metadata, span.context);
      // What it leaves out goes to the caller's own listener.
      next(metadata, {
        onReceiveStatus(end, pass) {
          const code = status[end.code];
          span.set({ 'rpc.status_code': code });
          span.end(end.code === status.OK ? undefined : { type: code });
          pass(end);
        },
      });
    },
  });
};
