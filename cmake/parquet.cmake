# The module libretort_parquet.so: Arrow C++ as it comes inside the pyarrow wheel, linked by its versioned files. Left
# out, with a message, where RETORT_PYTHON has no pyarrow; the program then says so when it meets a Parquet file.
execute_process(COMMAND ${RETORT_PYTHON} -c "import os, importlib.util as u; print(os.path.dirname(u.find_spec('pyarrow').origin))"
                OUTPUT_VARIABLE PYARROW_DIR OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
file(GLOB RETORT_ARROW_LIB ${PYARROW_DIR}/libarrow.so.*)
file(GLOB RETORT_PARQUET_LIB ${PYARROW_DIR}/libparquet.so.*)
if(PYARROW_DIR AND RETORT_ARROW_LIB AND RETORT_PARQUET_LIB)
  add_library(retort_parquet MODULE ${CMAKE_SOURCE_DIR}/src/record/parquet/module.cc)
  target_include_directories(retort_parquet SYSTEM PRIVATE ${PYARROW_DIR}/include)
  target_link_libraries(retort_parquet PRIVATE ${RETORT_PARQUET_LIB} ${RETORT_ARROW_LIB} dep::json)
  set_target_properties(retort_parquet PROPERTIES BUILD_RPATH ${PYARROW_DIR} INSTALL_RPATH "$ORIGIN")
  foreach(target retort record_test record_parquet_fuzz app_test)
    if(TARGET ${target})
      add_dependencies(${target} retort_parquet)
    endif()
  endforeach()
  # The installed tree runs without the wheel: its libraries lie beside the module.
  install(TARGETS retort_parquet LIBRARY DESTINATION lib/retort)
  install(PROGRAMS ${RETORT_ARROW_LIB} ${RETORT_PARQUET_LIB} DESTINATION lib/retort)
else()
  message(STATUS "No pyarrow for ${RETORT_PYTHON}: Parquet files cannot be read by this build")
endif()
