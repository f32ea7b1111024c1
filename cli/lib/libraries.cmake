# libddg, with the compiler, and libddg_rt, without: shared and static, each with the symbols
# of include/ddg.h and no others, and the files by which a project finds them.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# ---- the interface -----------------------------------------------------------------------
add_library(ddg_lib_rt STATIC cli/lib/context.c cli/lib/error.c cli/lib/load.c
            cli/lib/pipeline.c cli/lib/result.c cli/lib/run.c)
target_link_libraries(ddg_lib_rt PUBLIC ddg_runtime)
add_library(ddg_lib STATIC cli/lib/compile.c)
target_link_libraries(ddg_lib PUBLIC ddg_lib_rt ddg_cli)

# ---- libraries ---------------------------------------------------------------------------
# A shared library of the objects of some libraries, and of what they need of their rooms.
function(shared_library name rooms) # and the libraries
  set(objects ${ARGN})
  list(TRANSFORM objects REPLACE "(.+)" "$<TARGET_OBJECTS:\\1>")
  add_library(${name}_shared SHARED ${objects})
  target_link_libraries(${name}_shared PRIVATE ${rooms})
  set(map ${CMAKE_CURRENT_SOURCE_DIR}/cli/lib/ddg.map)
  target_link_options(${name}_shared PRIVATE -Wl,--as-needed -Wl,--version-script=${map})
  if(NOT DDG_SANITIZE AND NOT DDG_FUZZ)
    target_link_options(${name}_shared PRIVATE -Wl,--no-undefined)
  endif()
  set_target_properties(${name}_shared PROPERTIES OUTPUT_NAME ${name} LINKER_LANGUAGE C
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR} LINK_DEPENDS ${map})
  install(TARGETS ${name}_shared)
endfunction()

# The same as one object in an archive: names that are not the interface's are local to it,
# so that a program may have an arena_new of its own.
function(static_library name rooms) # and the libraries
  set(objects ${ARGN})
  list(TRANSFORM objects REPLACE "(.+)" "$<TARGET_OBJECTS:\\1>")
  set(archives ${rooms})
  list(TRANSFORM archives REPLACE "(.+)" "$<TARGET_FILE:\\1>")
  set(out ${CMAKE_CURRENT_BINARY_DIR}/lib${name}.a)
  set(whole ${CMAKE_CURRENT_BINARY_DIR}/${name}.o)
  add_custom_command(OUTPUT ${out}
    COMMAND ${CMAKE_LINKER} -r -o ${whole} ${objects} --start-group ${archives} --end-group
    COMMAND ${CMAKE_OBJCOPY} --localize-hidden ${whole}
    COMMAND ${CMAKE_COMMAND} -E rm -f ${out}
    COMMAND ${CMAKE_AR} rcs ${out} ${whole}
    COMMAND ${CMAKE_COMMAND} -E rm -f ${whole}
    DEPENDS ${ARGN} ${rooms} ${objects} COMMAND_EXPAND_LISTS VERBATIM)
  add_custom_target(${name}_static ALL DEPENDS ${out})
  install(FILES ${out} DESTINATION ${CMAKE_INSTALL_LIBDIR})
endfunction()

set(rt_rooms ddg_runtime)
set(rooms ddg_cli ddg_frontend ddg_onnx_pb ddg_passes ddg_codegen ddg_ir ddg_runtime)
shared_library(ddg_rt "${rt_rooms}" ddg_lib_rt)
shared_library(ddg "${rooms}" ddg_lib ddg_lib_rt)
static_library(ddg_rt "${rt_rooms}" ddg_lib_rt)
static_library(ddg "${rooms}" ddg_lib ddg_lib_rt)

# ---- what finds them ---------------------------------------------------------------------
set(rt_names ${JPEG_LIBRARIES} ${PNG_LIBRARIES} ${XXHASH_LIBRARIES} ${SQLITE_LIBRARIES}
    ${MSGPACK_LIBRARIES} m)
set(names ${rt_names} ${OPENBLAS_LIBRARIES} ${PROTOBUF_C_LIBRARIES} LLVM-19)
set(folders ${LLVM_LIBDIR} ${OPENBLAS_LIBRARY_DIRS})
list(REMOVE_DUPLICATES names)

function(package_config name description requires private)
  set(to ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
  cmake_path(SET up NORMALIZE "/${to}")
  file(RELATIVE_PATH up ${up} /)
  string(REGEX REPLACE "/$" "" up "${up}")
  configure_file(cli/lib/ddg.pc.in ${name}.pc @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/${name}.pc DESTINATION ${to})
endfunction()
set(rt_requires "libjpeg libpng sqlite3 libxxhash msgpack")
package_config(ddg_rt "runs compiled pipelines of ddg" "${rt_requires}" "-lm -pthread")
# Not openblas.pc: for a static OpenBLAS it asks for a Fortran compiler's library.
list(TRANSFORM OPENBLAS_LIBRARY_DIRS PREPEND -L OUTPUT_VARIABLE openblas)
list(TRANSFORM OPENBLAS_LIBRARIES PREPEND -l OUTPUT_VARIABLE openblas_names)
string(JOIN " " llvm_openblas -L${LLVM_LIBDIR} -lLLVM-19 ${openblas} ${openblas_names})
package_config(ddg "compiles and runs pipelines of dataset distillation"
  "${rt_requires} libprotobuf-c" "${llvm_openblas} -lm -pthread")

set(config ${CMAKE_INSTALL_LIBDIR}/cmake/ddg)
configure_package_config_file(cli/lib/ddg-config.cmake.in ddg-config.cmake
  INSTALL_DESTINATION ${config} PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(ddg-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/ddg-config.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/ddg-config-version.cmake DESTINATION ${config})
install(FILES include/ddg.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
