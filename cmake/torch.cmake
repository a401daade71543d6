# libtorch from the PyPI wheel, through imported targets of our own: find_package(Torch) would demand a CUDA toolkit with
# PyPI's default wheel. Makes the trainer, libretort_train.so, which the program opens on first use.
set(TORCH_DIR "" CACHE PATH "The wheel's torch folder (with include/ and lib/); default: found through RETORT_PYTHON")
if(NOT RETORT_TORCH)
  return()
endif()
set(torch_root "${TORCH_DIR}")
if(NOT torch_root)
  execute_process(
    COMMAND ${RETORT_PYTHON} -c
            "import importlib.util as u, os; s = u.find_spec('torch'); print(os.path.dirname(s.origin) if s else '')"
    OUTPUT_VARIABLE torch_root OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(NOT EXISTS "${torch_root}/include/ATen/Config.h")
  message(FATAL_ERROR "libtorch is missing (looked for '${torch_root}/include/ATen/Config.h'); run ./dev setup, set TORCH_DIR, "
                      "or configure with -DRETORT_TORCH=OFF")
endif()

function(retort_torch_library name file)
  add_library(torch::${name} SHARED IMPORTED GLOBAL)
  set_target_properties(torch::${name} PROPERTIES IMPORTED_LOCATION "${torch_root}/lib/${file}")
endfunction()
set(torch_libraries libc10.so libtorch_cpu.so libgomp.so.1)
retort_torch_library(c10 libc10.so)
retort_torch_library(cpu libtorch_cpu.so)
retort_torch_library(gomp libgomp.so.1)
add_library(torch_wheel INTERFACE)
target_include_directories(torch_wheel SYSTEM INTERFACE "${torch_root}/include" "${torch_root}/include/torch/csrc/api/include")
target_link_libraries(torch_wheel INTERFACE torch::cpu torch::c10 torch::gomp)
# The whole program uses libstdc++'s C++11 ABI; a wheel of the old one would crash at the first string.
file(STRINGS "${torch_root}/lib/libc10.so" torch_new_abi REGEX "_ZN3c1011DeviceIndex|__cxx11" LIMIT_COUNT 1)
if(NOT torch_new_abi)
  message(FATAL_ERROR "the libtorch in ${torch_root} was built with the old C++ ABI; install torch==2.13.0 from PyPI")
endif()
if(EXISTS "${torch_root}/lib/libtorch_cuda.so")
  retort_torch_library(cuda libtorch_cuda.so)
  retort_torch_library(c10_cuda libc10_cuda.so)
  list(APPEND torch_libraries libtorch_cuda.so libc10_cuda.so)
  target_link_libraries(torch_wheel INTERFACE -Wl,--no-as-needed torch::cuda torch::c10_cuda -Wl,--as-needed)
endif()

file(GLOB torch_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/train/torch/*.cc)
add_library(retort_train_torch SHARED ${torch_sources} ${CMAKE_SOURCE_DIR}/src/train/layout.cc)
target_include_directories(retort_train_torch PRIVATE ${CMAKE_SOURCE_DIR}/src)
# -fopenmp only compiles: the one OpenMP runtime is the wheel's. The loops vectorise without trapping or errno semantics
# and fuse where the CPU can.
target_compile_options(retort_train_torch PRIVATE ${RETORT_WARNINGS} -Wno-old-style-cast -Wno-shadow -fopenmp)
set_source_files_properties(${CMAKE_SOURCE_DIR}/src/train/torch/loops.cc PROPERTIES COMPILE_OPTIONS
                            "-O3;-fno-math-errno;-fno-trapping-math;-ffp-contract=fast")
# The wheel's include folder brings a newer fmt than the system's; header-only, the two cannot meet.
target_compile_definitions(retort_train_torch PRIVATE FMT_HEADER_ONLY)
target_link_libraries(retort_train_torch PRIVATE torch_wheel Threads::Threads)
target_link_options(retort_train_torch PRIVATE -Wl,--no-undefined)
set_target_properties(retort_train_torch PROPERTIES OUTPUT_NAME retort_train BUILD_RPATH "${torch_root}/lib"
                                                    INSTALL_RPATH "$ORIGIN")
foreach(target retort train_test app_test)
  if(TARGET ${target})
    add_dependencies(${target} retort_train_torch)
  endif()
endforeach()

# The installed tree runs without the wheel: its libraries lie beside the trainer.
install(TARGETS retort_train_torch LIBRARY DESTINATION lib/retort)
foreach(library ${torch_libraries})
  install(PROGRAMS "${torch_root}/lib/${library}" DESTINATION lib/retort)
endforeach()
