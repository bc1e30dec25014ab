// TFLite's C interface with a model that is a formula: see FormulaModel in board_models.py.
//
// It stands in for the library, so that the C++ program of a board pack runs without one. Macros
// describe the model: HEIGHT, WIDTH, CHANNELS, SCORES, STEP, INPUT, OUTPUT, CLASSES, SCALE,
// INPUT_SCALE, INPUT_ZERO.

#include <cmath>
#include <cstdint>
#include <vector>

enum TfLiteStatus { kTfLiteOk };
struct TfLiteQuantizationParams {
  float scale;
  int32_t zero_point;
};
struct TfLiteTensor {
  std::vector<int> shape;
  std::vector<char> data;
  TfLiteQuantizationParams quantization;
};
struct TfLiteModel {};
struct TfLiteInterpreterOptions {
  int threads = 0;
};
struct TfLiteInterpreter {
  TfLiteTensor input, output;
};

inline TfLiteModel* TfLiteModelCreateFromFile(const char*) { return new TfLiteModel; }
inline void TfLiteModelDelete(TfLiteModel* model) { delete model; }
inline TfLiteInterpreterOptions* TfLiteInterpreterOptionsCreate() {
  return new TfLiteInterpreterOptions;
}
inline void TfLiteInterpreterOptionsDelete(TfLiteInterpreterOptions* options) { delete options; }
inline void TfLiteInterpreterOptionsSetNumThreads(TfLiteInterpreterOptions* options, int threads) {
  options->threads = threads;
}
inline TfLiteInterpreter* TfLiteInterpreterCreate(TfLiteModel*, TfLiteInterpreterOptions*) {
  auto* made = new TfLiteInterpreter;
  made->input = {{1, HEIGHT, WIDTH, CHANNELS}, {}, {INPUT_SCALE, INPUT_ZERO}};
  made->input.data.resize(sizeof(INPUT) * HEIGHT * WIDTH * CHANNELS);
  made->output = {{1, HEIGHT / STEP, WIDTH / STEP}, {}, {SCALE, 3}};
  if (!CLASSES) made->output.shape.push_back(SCORES);
  made->output.data.resize(sizeof(OUTPUT) * (HEIGHT / STEP) * (WIDTH / STEP) *
                           (CLASSES ? 1 : SCORES));
  return made;
}
inline void TfLiteInterpreterDelete(TfLiteInterpreter* interpreter) { delete interpreter; }
inline TfLiteStatus TfLiteInterpreterAllocateTensors(TfLiteInterpreter*) { return kTfLiteOk; }
inline TfLiteTensor* TfLiteInterpreterGetInputTensor(const TfLiteInterpreter* interpreter, int) {
  return const_cast<TfLiteTensor*>(&interpreter->input);
}
inline const TfLiteTensor* TfLiteInterpreterGetOutputTensor(const TfLiteInterpreter* interpreter,
                                                            int) {
  return &interpreter->output;
}
inline size_t TfLiteTensorByteSize(const TfLiteTensor* tensor) { return tensor->data.size(); }
inline int TfLiteTensorDim(const TfLiteTensor* tensor, int axis) { return tensor->shape[axis]; }
inline void* TfLiteTensorData(const TfLiteTensor* tensor) {
  return const_cast<char*>(tensor->data.data());
}
inline TfLiteQuantizationParams TfLiteTensorQuantizationParams(const TfLiteTensor* tensor) {
  return tensor->quantization;
}

inline TfLiteStatus TfLiteInterpreterInvoke(TfLiteInterpreter* interpreter) {
  const auto* pixels = reinterpret_cast<const INPUT*>(interpreter->input.data.data());
  auto* stored = reinterpret_cast<OUTPUT*>(interpreter->output.data.data());
  for (int y = 0; y < HEIGHT; y += STEP)
    for (int x = 0; x < WIDTH; x += STEP) {
      double mean = 0;
      for (int c = 0; c < CHANNELS; ++c)
        mean += double(pixels[(y * WIDTH + x) * CHANNELS + c]) - INPUT_ZERO;
      const double value = mean / CHANNELS / 25 + y / 9.0 - x / 13.0;
      int best = 0;
      double scores[SCORES];
      for (int i = 0; i < SCORES; ++i) {
        scores[i] = std::sin(value * (0.4 + 0.3 * i) + i) * 4;
        if (scores[i] > scores[best]) best = i;
      }
      if (CLASSES) {
        *stored++ = static_cast<OUTPUT>(best);
        continue;
      }
      for (double score : scores)
        *stored++ = static_cast<OUTPUT>(SCALE ? std::nearbyint(score / SCALE + 3) : score);
    }
  return kTfLiteOk;
}
