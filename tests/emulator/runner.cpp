// runner LIBRARY KERNEL INPUT OUTPUT: one launch in a process of its own.
//
// ThreadSanitizer cannot be loaded into Python; this program is linked with it. INPUT, all numbers
// of 8 bytes: grid (3), block (3), order, the number of buffers and of arguments; each buffer's
// size and bytes; each argument's two numbers: a buffer's index and an offset into it, or -1 and a
// scalar's bytes. Two arguments in one buffer share memory here as they did there. OUTPUT: the
// bytes of all buffers. Exit status: 0; 3 for the emulator's own errors; 2 if it could not start.
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <string>
#include <vector>

static void read(FILE* file, void* to, size_t size) {
  if (fread(to, 1, size, file) != size) {
    fprintf(stderr, "the input is too short\n");
    exit(2);
  }
}

static int64_t read_number(FILE* file) {
  int64_t number;
  read(file, &number, sizeof number);
  return number;
}

template <class Function> static Function* find(void* library, const std::string& name) {
  void* symbol = library ? dlsym(library, name.c_str()) : nullptr;
  if (!symbol) {
    fprintf(stderr, "%s\n", dlerror());
    exit(2);
  }
  return (Function*)symbol;
}

int main(int, char** argv) {
  void* library = dlopen(argv[1], RTLD_NOW);
  auto launch = find<int(const unsigned*, const unsigned*, unsigned long long, void**)>(
      library, std::string("emu_launch_") + argv[2]);
  auto error = find<const char*()>(library, "emu_error");

  FILE* input = fopen(argv[3], "rb");
  if (!input) return 2;
  unsigned grid_block[6];
  for (unsigned& n : grid_block) n = (unsigned)read_number(input);
  const unsigned long long order = (unsigned long long)read_number(input);
  std::vector<std::pair<char*, size_t>> buffers((size_t)read_number(input));
  std::vector<void*> arguments((size_t)read_number(input));
  for (auto& [memory, size] : buffers) {
    size = (size_t)read_number(input);
    memory = (char*)malloc(size);
    read(input, memory, size);
  }
  std::vector<int64_t> values(arguments.size());
  for (size_t i = 0; i < arguments.size(); i++) {
    const int64_t buffer = read_number(input), number = read_number(input);
    values[i] = buffer < 0 ? number : (int64_t)(buffers[(size_t)buffer].first + number);
    arguments[i] = &values[i];
  }

  if (launch(grid_block, grid_block + 3, order, arguments.data())) {
    fprintf(stderr, "%s\n", error());
    return 3;
  }
  FILE* output = fopen(argv[4], "wb");
  if (!output) return 2;
  for (auto& [memory, size] : buffers) fwrite(memory, 1, size, output);
  return fclose(output) ? 2 : 0;
}
