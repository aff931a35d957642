// The number of everything that processes share: layout of the segment, paths of the sockets. It
// grows when old and new processes could no longer share one suite; they then run side by side.
#ifndef VALVECHAIN_BASE_ABI_H
#define VALVECHAIN_BASE_ABI_H

#define VALVECHAIN_ABI 1

#endif
