#include "daemon/engines/random_model.h"

#include <utility>

#include "daemon/engines/model_loading.h"
#include "engine/checkpoint/shapes.h"

namespace caretd::daemon {

namespace {

constexpr std::uint32_t kRoutingSeed = 1;

}  // namespace

Result<engine::RandomModel> random_model(std::string name) {
  engine::RandomModel model;
  model.fp8 = name.ends_with("-fp8");
  if (model.fp8) name.resize(name.size() - 4);
  if (name.ends_with("-bf16")) name.resize(name.size() - 5);
  auto config = engine::shape_by_name(name);
  if (!config) return pass_on(std::move(config));
  model.config = *std::move(config);
  return model;
}

engine::ModelLoader random_model_loader(const engine::RandomModel& model,
                                        const std::filesystem::path& tokenizer_folder,
                                        const ModelSettings& settings, const InstallTree& install) {
  return [=, module = install.cuda_module()](const engine::Progress&,
                                             std::stop_token) -> Result<engine::LoadedModel> {
    auto tokenizer = engine::Tokenizer::load(tokenizer_folder);
    if (!tokenizer) return pass_on(std::move(tokenizer));
    if ((*tokenizer)->size() > model.config.vocab_size) {
      return fail(ErrorKind::invalid_input,
                  tokenizer_folder.string() + ": the tokenizer has more tokens than the shape");
    }
    auto runner =
        engine::make_random_cuda_runner(model, runner_options(settings, **tokenizer), module);
    if (!runner) return pass_on(std::move(runner));
    (*runner)->force_routing(kRoutingSeed);
    engine::LoadedModel loaded;
    loaded.runner = *std::move(runner);
    loaded.tokenizer = *std::move(tokenizer);
    loaded.config = model.config;
    loaded.name = "random weights";
    loaded.fim = fim_use(settings);
    return loaded;
  };
}

}  // namespace caretd::daemon
