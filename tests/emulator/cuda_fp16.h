// Stands where the toolkit's header does; half itself is in device.h.
#pragma once
